"""Retention through the real servers: rules, what they remove in the background, quotas, removal by hand."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from controller_under_test import ControllerUnderTest, running_controller
from fake_agent import FakeAgent, FlowError
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import retention_pb2, types_pb2
from grpc import aio

from controller.ports import Database


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data") as running:
        yield running


def flow(name: str = "flow.py") -> retention_pb2.RetentionOwner:
    return retention_pb2.RetentionOwner(flow=name)


def execution(name: str) -> retention_pb2.RetentionOwner:
    return retention_pb2.RetentionOwner(execution=name)


async def set_rule(
    controller: ControllerUnderTest, owner: retention_pb2.RetentionOwner | None = None, **rule: int
) -> None:
    retention = retention_pb2.Retention(owner=owner, rule=retention_pb2.KeepRule(**rule))
    await controller.retention.SetRetention(retention_pb2.SetRetentionRequest(retention=retention))


async def calls(agent: FakeAgent, count: int) -> None:
    for number in range(count):
        await agent.call("set_output", items={"n": number})


async def numbers(controller: ControllerUnderTest, execution_id: str) -> list[int]:
    return [savepoint.number for savepoint in await controller.list_savepoints(execution_id)]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110  a condition on the records
            await asyncio.sleep(0.02)


async def until_numbers(controller: ControllerUnderTest, execution_id: str, wanted: Sequence[int]) -> None:
    async def there() -> bool:
        return await numbers(controller, execution_id) == list(wanted)

    await until(there)


def manifests(controller: ControllerUnderTest) -> int:
    return len(list((controller.config.store / "manifests").iterdir()))


async def test_older_savepoints_are_thinned_out_in_the_background_when_a_rule_says_so(
    controller: ControllerUnderTest,
) -> None:
    await set_rule(controller, flow(), newest=3, one_in=5)
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="first")
    await calls(agent, 11)
    await until_numbers(controller, execution_id, [1, 5, 10, 11, 12])
    savepoints = await controller.list_savepoints(execution_id)
    assert [savepoint.parent_id for savepoint in savepoints] == ["", *[one.id for one in savepoints[:-1]]]

    async def images_are_gone() -> bool:
        return manifests(controller) == 5

    await until(images_are_gone)
    await controller.load(execution_id, name="first")
    await controller.load(execution_id, id="5")


async def test_a_rule_holds_for_what_had_ended_before_it_was_made(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await calls(agent, 5)
    await agent.end("success", "done")
    await controller.ended(execution_id)
    await set_rule(controller, None, newest=2, one_in=0)
    await until_numbers(controller, execution_id, [5, 6])


async def test_an_execution_has_a_rule_of_its_own_when_it_is_created_with_one(controller: ControllerUnderTest) -> None:
    await set_rule(controller, flow(), newest=100, one_in=7)
    execution_id, agent = await controller.run(keep=retention_pb2.KeepRule(newest=2))
    request = retention_pb2.GetRetentionRequest(owner=execution(execution_id))
    answer = await controller.retention.GetRetention(request)
    assert answer.retention.rule == retention_pb2.KeepRule(newest=2)
    built_in = {"max_age_s": 0, "max_number": 0, "max_bytes": 0}
    assert answer.effective == retention_pb2.KeepRule(newest=2, one_in=7, **built_in)
    await calls(agent, 8)
    await until_numbers(controller, execution_id, [7, 8])


async def test_rules_are_listed_and_deleted(controller: ControllerUnderTest) -> None:
    execution_id, _agent = await controller.run(name="mine")
    for owner in (execution("mine"), flow(), None):
        await set_rule(controller, owner, newest=4)
    listed = (await controller.retention.ListRetention(retention_pb2.ListRetentionRequest())).retentions
    assert [one.owner for one in listed] == [retention_pb2.RetentionOwner(), flow(), execution(execution_id)]
    await controller.retention.DeleteRetention(retention_pb2.DeleteRetentionRequest(owner=execution("mine")))
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.retention.DeleteRetention(retention_pb2.DeleteRetentionRequest(owner=execution("mine")))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("owner", "rule", "code"),
    [
        (flow(), {"newest": -1}, grpc.StatusCode.INVALID_ARGUMENT),
        (flow("a\nb"), {"newest": 1}, grpc.StatusCode.INVALID_ARGUMENT),
        (execution("nobody"), {"newest": 1}, grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_a_rule_is_refused_when_it_makes_no_sense(
    controller: ControllerUnderTest, owner: Any, rule: dict[str, int], code: grpc.StatusCode
) -> None:
    with pytest.raises(aio.AioRpcError) as raised:
        await set_rule(controller, owner, **rule)
    assert raised.value.code() is code


async def test_a_flow_is_told_the_same_savepoint_after_a_recovery_when_the_one_loaded_was_removed(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await calls(agent, 2)
    await agent.call("create_dump", name="here")
    await controller.load(execution_id, name="here")
    await agent.redone.get()
    told = agent.restored
    assert told is not None
    assert (told["savepoint"], told["name"]) == (3, "here")
    await calls(agent, 1)
    await remove(controller, execution_id, "3")
    await controller.launcher.die(execution_id)
    agent = await controller.launcher.agent(execution_id)
    await agent.redone.get()
    assert agent.restored == told


async def test_what_an_undo_needs_and_the_head_stay_when_nothing_else_is_kept(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await calls(agent, 4)
    agent.memory["data"] = "before the load"
    loaded = await controller.load(execution_id, id="2")
    await agent.redone.get()
    await calls(agent, 4)
    await set_rule(controller, None, newest=1, one_in=0)
    await until_numbers(controller, execution_id, [loaded.before.number, 9])
    await controller.undo(execution_id)
    assert agent.memory == {"data": "before the load"}


async def test_the_execution_goes_back_to_its_end_when_the_savepoints_between_are_removed(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await calls(agent, 3)
    await agent.end("error", "upload failed")
    await controller.ended(execution_id)
    await controller.load(execution_id, id="2")
    agent = await controller.launcher.agent(execution_id)
    await agent.redone.get()
    await calls(agent, 3)
    await set_rule(controller, None, newest=1, one_in=0)
    # 4 is the last one of the branch that an undo goes back to.
    await until_numbers(controller, execution_id, [4, 7])
    await controller.undo(execution_id)
    ended = await controller.ended(execution_id)
    assert ended.message == "upload failed"
    await controller.load(execution_id, id="4")


async def test_a_savepoint_that_is_being_read_stays(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await calls(agent, 4)
    second = (await controller.list_savepoints(execution_id))[1]
    with controller.services.pins.hold(second.id):
        await set_rule(controller, None, newest=1, one_in=0)
        await until_numbers(controller, execution_id, [2, 4])
        with pytest.raises(aio.AioRpcError, match="being read"):
            await remove(controller, execution_id, "2")
    await calls(agent, 1)
    await until_numbers(controller, execution_id, [5])


async def remove(controller: ControllerUnderTest, execution_id: str, *ids: str) -> list[int]:
    selectors = [pb.SavepointSelector(id=one) for one in ids]
    request = pb.DeleteSavepointsRequest(execution=execution_id, savepoints=selectors)
    return [savepoint.number for savepoint in (await controller.savepoints.DeleteSavepoints(request)).savepoints]


async def test_savepoints_are_removed_by_hand_unless_one_is_in_use(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await calls(agent, 4)
    with pytest.raises(aio.AioRpcError) as raised:
        await remove(controller, execution_id, "1", "5")
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "savepoint 5" in (raised.value.details() or "")
    assert "goes on" in (raised.value.details() or "")
    assert await numbers(controller, execution_id) == [1, 2, 3, 4, 5]
    assert await remove(controller, execution_id, "3", "1", "3") == [1, 3]
    assert await numbers(controller, execution_id) == [2, 4, 5]
    with pytest.raises(aio.AioRpcError) as raised:
        await remove(controller, execution_id, "3")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    loaded = await controller.load(execution_id, id="4")
    await agent.redone.get()
    with pytest.raises(aio.AioRpcError, match="an undo goes back to it"):
        await remove(controller, execution_id, str(loaded.before.number))


async def test_a_dry_run_says_what_would_go_and_removes_nothing(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await calls(agent, 5)
    # Behind its back: it has been told of no rule yet.
    await agent.end("success", "")
    await controller.ended(execution_id)
    controller.app._retentions._look_at_all = lambda: None
    await set_rule(controller, execution(execution_id), newest=2, one_in=0)
    before = manifests(controller)
    told = await controller.system.CollectGarbage(pb.CollectGarbageRequest(dry_run=True))
    assert told.removed_savepoints == 4
    assert [(one.execution_id, list(one.numbers)) for one in told.executions] == [(execution_id, [1, 2, 3, 4])]
    assert told.removed_bytes > 0
    assert (await numbers(controller, execution_id), manifests(controller)) == ([1, 2, 3, 4, 5, 6], before)

    done = await controller.system.CollectGarbage(pb.CollectGarbageRequest())
    assert (done.removed_savepoints, done.executions) == (4, told.executions)
    # The manifests went before the packs.
    assert done.removed_packs == told.removed_packs
    assert (await numbers(controller, execution_id), manifests(controller)) == ([5, 6], 2)


async def test_the_oldest_implicit_ones_go_at_a_quota_and_named_ones_make_create_dump_fail(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run(keep=retention_pb2.KeepRule(max_number=4))
    await agent.call("create_dump", name="a")
    await calls(agent, 9)

    async def within() -> bool:
        return len(await numbers(controller, execution_id)) <= 4

    await until(within)
    for name in "bcd":
        await agent.call("create_dump", name=name)
    with pytest.raises(FlowError) as raised:
        await agent.call("create_dump", name="e")
    assert raised.value.type == "SavepointError"
    assert "quota (4 savepoints)" in raised.value.message
    assert "retention set" in raised.value.message
    with pytest.raises(aio.AioRpcError) as refused:
        await controller.savepoints.CreateSavepoint(pb.CreateSavepointRequest(execution=execution_id, name="f"))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    # The flow goes on, and has its newest state.
    await calls(agent, 1)
    names = [savepoint.name for savepoint in await controller.list_savepoints(execution_id) if savepoint.name]
    assert names == ["a", "b", "c", "d"]
    await set_rule(controller, execution(execution_id), max_number=0)
    await agent.call("create_dump", name="e")


async def test_a_quota_of_bytes_is_what_the_store_needs(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run(keep=retention_pb2.KeepRule(max_bytes=6000))
    await calls(agent, 30)

    async def within() -> bool:
        services = controller.services
        ids = [savepoint.id for savepoint in await controller.list_savepoints(execution_id)]
        needs = (await services.in_store(services.store.needs, ids)).values()
        packs = {pack: size for need in needs for pack, size in need.packs.items()}
        return sum(packs.values()) + sum(need.manifest_bytes for need in needs) <= 6000

    await until(within)
    assert (await numbers(controller, execution_id))[-1] == 30


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path[:0] = [str(Path(sys.argv[1]))]
from controller_under_test import running_controller
from test_api_retention import calls, set_rule
import controller.retention as retention

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with running_controller(Path(sys.argv[2])) as controller:
        execution_id, agent = await controller.run(name="killed")
        await agent.call("create_dump", name="first")
        await calls(agent, 8)
        services = controller.services
        match sys.argv[3]:
            case "before the rows":
                services.database.remove_savepoints = die
            case "between rows and images":
                services.store.delete = die
            case "between two images":
                delete, seen = services.store.delete, []
                services.store.delete = lambda one: die() if seen else (seen.append(one), delete(one))
            case "before the packs":
                services.store.collect = die
        await set_rule(controller, None, newest=2, one_in=0)
        if sys.argv[3] == "before the packs":
            await controller.app._retentions.collect(dry_run=False)
        await asyncio.sleep(30)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "point", ["before the rows", "between rows and images", "between two images", "before the packs"]
)
async def test_removal_goes_on_when_the_controller_was_killed_in_between(tmp_path: Path, point: str) -> None:
    data_dir = tmp_path / "data"
    folder = str(Path(__file__).parent)
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED, folder, str(data_dir), point], check=False, env=os.environ
    )
    assert killed.returncode == -signal.SIGKILL
    async with running_controller(data_dir) as controller:
        found = await controller.services.db(Database.find_executions, "killed")
        await until_numbers(controller, found[0].id, [1, 8, 9])
        savepoints = await controller.list_savepoints(found[0].id)
        assert [savepoint.parent_id for savepoint in savepoints] == ["", savepoints[0].id, savepoints[1].id]
        service = controller.app._retentions
        for savepoint in savepoints:
            await controller.services.in_store(controller.services.store.verify, savepoint.id)
        # What was left of images without a row is garbage that is older than an hour one day.
        for manifest in (controller.config.store / "manifests").iterdir():
            os.utime(manifest, (0, 0))
        await service.collect(dry_run=False)
        assert manifests(controller) == 3
        left = await service.collect(dry_run=True)
        assert (left.removals, left.removed_packs, left.removed_bytes) == ([], 0, 0)


async def test_a_load_is_refused_when_its_savepoint_was_removed_in_the_same_moment(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await calls(agent, 3)
    savepoints = controller.app._retentions
    core = await controller.services.execution(execution_id)
    found = await controller.services.db(Database.savepoints, execution_id)
    removing = asyncio.create_task(savepoints.remove(core, found[:1]))
    outcomes = await asyncio.gather(controller.load(execution_id, id="1"), removing, return_exceptions=True)
    # One of the two was first.
    assert [isinstance(outcome, BaseException) for outcome in outcomes].count(True) == 1
    assert (await controller.show(execution_id)).status == types_pb2.EXECUTION_STATUS_RUNNING
