"""Parking through the real servers: an execution that waits holds no container, and goes on when its wait is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from controller_under_test import ControllerUnderTest, FakeLauncher, running_controller, until
from fake_agent import FakeAgent
from flowsnap.v1 import types_pb2
from grpc import aio

from controller.config import Config
from controller.ids import new_id, new_savepoint_id
from controller.services import Services
from controller.tokens import token_hash

SLEEPERS = 100


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data", park_after_s=0.2) as running:
        yield running


async def _waiting(controller: ControllerUnderTest, call_name: str, /, **args: Any) -> tuple[str, FakeAgent]:
    """An execution that is parked in that call."""
    execution_id, agent = await controller.run()
    agent.memory["kept"] = 1
    call = asyncio.create_task(agent.call(call_name, **args))
    await controller.until_saved(execution_id)
    await _parked(controller, execution_id)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    return execution_id, agent


async def _parked(controller: ControllerUnderTest, execution_id: str) -> None:
    await until(lambda: execution_id not in controller.launcher.agents)
    async with asyncio.timeout(20):
        while not (await controller.show(execution_id)).parked:  # noqa: ASYNC110 (a client would ask, too)
            await asyncio.sleep(0.005)


async def test_container_is_given_back_during_a_long_sleep_and_another_goes_on_after_it(
    controller: ControllerUnderTest,
) -> None:
    execution_id, _ = await _waiting(controller, "sleep", seconds=3)
    shown = await controller.show(execution_id)
    assert (shown.status, shown.parked) == (types_pb2.EXECUTION_STATUS_SLEEPING, True)
    # The container goes first, then its folder.
    await until(lambda: not controller.services.agent_dir(execution_id).exists())
    fresh = await controller.launcher.agent(execution_id)
    assert await fresh.redone.get() is None
    shown = await controller.show(execution_id)
    assert (shown.status, shown.parked) == (types_pb2.EXECUTION_STATUS_RUNNING, False)
    assert (shown.recovery_count, shown.load_count, shown.branch) == (0, 0, 1)
    assert (fresh.memory, fresh.restored) == ({"kept": 1}, None)
    assert len(await controller.list_savepoints(execution_id)) == 1


async def test_tree_that_does_something_besides_waiting_keeps_its_container(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    agent.busy = True
    call = asyncio.create_task(agent.call("sleep", seconds=600))
    await controller.until(execution_id, "SLEEPING")
    await asyncio.sleep(0.6)
    assert execution_id in controller.launcher.agents
    agent.busy = False
    await _parked(controller, execution_id)
    call.cancel()


@pytest.mark.parametrize("held", [True, False])
async def test_lock_is_waited_for_and_got_without_a_container(controller: ControllerUnderTest, held: bool) -> None:
    _, holder = await controller.run()
    await holder.call("setting_acquire", name="l")
    execution_id, _ = await _waiting(controller, "setting_acquire", name="l", timeout=None if held else 1)
    if held:
        await holder.call("setting_release", name="l")
    fresh = await controller.launcher.agent(execution_id)
    answer = await fresh.redone.get()
    assert (answer is None) if held else (answer.type == "LockTimeoutError")


async def test_child_is_waited_for_without_a_container(controller: ControllerUnderTest) -> None:
    execution_id, parent = await controller.run()
    call = asyncio.create_task(parent.call("script", script="def handler(system, this): pass"))
    await controller.until(execution_id, "WAITING_CHILD")
    # The parent may wait for it before it has a container.
    await until(lambda: set(controller.launcher.agents) - {execution_id})
    (child_id,) = set(controller.launcher.agents) - {execution_id}
    await _parked(controller, execution_id)
    call.cancel()
    await controller.launcher.agents[child_id].end("success", "grown up")
    fresh = await controller.launcher.agent(execution_id)
    assert (await fresh.redone.get())["message"] == "grown up"


async def test_paused_execution_is_parked_and_goes_on_when_it_is_resumed(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("set_output", items={"n": 1})
    agent.memory["at"] = 5
    await controller.pause(execution_id)
    await _parked(controller, execution_id)
    await controller.resume(execution_id)
    fresh = await controller.launcher.agent(execution_id)
    await fresh.call("set_output", items={"n": 2})
    assert fresh.memory == {"at": 5}
    assert not (await controller.show(execution_id)).parked


async def test_parked_execution_stays_away_while_it_is_paused(controller: ControllerUnderTest) -> None:
    execution_id, _ = await _waiting(controller, "sleep", seconds=3)
    await controller.pause(execution_id)
    await until(lambda: not controller.services.live.get(execution_id).calls)
    await asyncio.sleep(0.2)
    assert execution_id not in controller.launcher.agents
    await controller.resume(execution_id)
    assert await (await controller.launcher.agent(execution_id)).redone.get() is None


async def test_parked_execution_is_loaded_saved_cancelled_and_removed(controller: ControllerUnderTest) -> None:
    execution_id, _ = await _waiting(controller, "sleep", seconds=600)
    assert (await controller.create_savepoint(execution_id, "asleep")).number == 1
    assert (await controller.create_savepoint(execution_id)).name == "asleep"
    loaded = await controller.load(execution_id, name="asleep")
    assert (loaded.execution.branch, loaded.before.number) == (2, 1)
    assert controller.launcher.agents[execution_id].memory == {"kept": 1}
    await controller.until(execution_id, "SLEEPING")
    await _parked(controller, execution_id)
    await controller.cancel(execution_id)
    assert (await controller.ended(execution_id)).status == types_pb2.EXECUTION_STATUS_ENDED_CANCELLED
    assert not (await controller.show(execution_id)).parked
    other, _ = await _waiting(controller, "sleep", seconds=600)
    await controller.delete(other, force=True)
    assert controller.services.live.get(other) is None


async def test_wait_still_wakes_an_execution_after_a_load_of_it_failed(controller: ControllerUnderTest) -> None:
    execution_id, _ = await _waiting(controller, "sleep", seconds=3)

    def fail(agent: FakeAgent) -> None:
        agent.fail_restores = "CRIU refused"

    controller.launcher.on_start = fail
    with pytest.raises(aio.AioRpcError, match="CRIU refused"):
        await controller.load(execution_id, id="1")
    assert (await controller.show(execution_id)).parked
    controller.launcher.on_start = lambda agent: None
    await until(lambda: execution_id in controller.launcher.agents)
    assert await controller.launcher.agents[execution_id].redone.get() is None
    assert (await controller.show(execution_id)).branch == 1


async def test_tree_goes_on_while_the_engine_does_not_remove_its_container(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    controller.launcher.refuse_removal = "docker does not answer"
    call = asyncio.create_task(agent.call("sleep", seconds=600))
    await until(lambda: agent.thaws)
    assert not (await controller.show(execution_id)).parked
    assert not agent.frozen
    controller.launcher.refuse_removal = ""
    await _parked(controller, execution_id)
    call.cancel()


async def test_wait_goes_on_without_a_container_when_the_controller_is_started_anew(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher, park_after_s=0.2) as first:
        sleeping, _ = await _waiting(first, "sleep", seconds=4)
        late, _ = await _waiting(first, "sleep", seconds=600)
    async with running_controller(tmp_path / "data", launcher=launcher, park_after_s=0.2) as second:
        assert launcher.agents == {}
        fresh = await launcher.agent(sleeping)
        assert await fresh.redone.get() is None
        assert (await second.show(late)).parked
        assert late not in launcher.agents
    await launcher.close()


async def test_call_that_was_over_before_the_controller_went_wakes_its_execution(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher, park_after_s=0.2) as first:
        execution_id, _ = await _waiting(first, "sleep", seconds=1.5)
        first.services.changes.closed = True  # the controller dies between the record and what follows from it
        await until(lambda: not first.services.live.get(execution_id).calls)
    async with running_controller(tmp_path / "data", launcher=launcher, park_after_s=0.2):
        assert await (await launcher.agent(execution_id)).redone.get() is None
    await launcher.close()


async def test_nothing_is_parked_where_the_configuration_says_so(tmp_path: Path) -> None:
    async with running_controller(tmp_path / "data", park_after_s=None) as controller:
        execution_id, agent = await controller.run()
        call = asyncio.create_task(agent.call("sleep", seconds=600))
        await controller.until(execution_id, "SLEEPING")
        await asyncio.sleep(0.5)
        assert execution_id in controller.launcher.agents
        call.cancel()


async def test_many_sleepers_hold_nothing_and_wake_in_the_order_of_their_times(tmp_path: Path) -> None:
    """Copies of one real sleeper's records and image: only the time differs."""
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher, park_after_s=0.2) as first:
        original, _ = await _waiting(first, "sleep", seconds=600)
        ids = [await asyncio.to_thread(_copy, first.services, original, 4 + number / 20) for number in range(SLEEPERS)]
    woken: list[str] = []
    launcher.on_start = lambda agent: woken.append(agent.settings["execution_id"])
    async with running_controller(tmp_path / "data", launcher=launcher, park_after_s=60) as second:
        assert [await second.status(execution_id) for execution_id in ids[:2]] == ["SLEEPING", "SLEEPING"]
        await until(lambda: set(ids) <= set(woken), limit_s=50)
        for execution_id in ids:
            assert await launcher.agents[execution_id].redone.get() is None
        late = [abs(woken.index(execution_id) - place) for place, execution_id in enumerate(ids)]
        # Some are brought back at the same time.
        assert max(late) < 10
        assert original not in woken
    await launcher.close()


def _copy(services: Services, original: str, seconds: float) -> str:
    database, execution_id, savepoint_id = services.database, new_id(), new_savepoint_id()
    execution = database.execution(original)
    assert execution is not None
    flow = database.flow(execution.flow_version)
    (savepoint,) = database.savepoints(original)
    (call,) = database.open_calls(original, 1)
    assert flow is not None
    services.store.link(savepoint.id, savepoint_id, lineage=execution_id)
    token = token_hash(services.tokens.token(execution_id))
    copied = replace(execution, id=execution_id, head_savepoint_id=savepoint_id, savepoint_count=1, token_hash=token)
    database.add_execution(copied, flow, replace(savepoint, id=savepoint_id, execution_id=execution_id))
    key = replace(call.key, execution_id=execution_id)
    args = json.dumps({"seconds": seconds}).encode()
    database.begin_call(
        replace(call, key=key, args=args, started_at=services.clock.now(), idempotency_key=execution_id)
    )
    return execution_id
