"""Forks through the real servers: what is recorded, what a fork's agent is told, and forks that fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from controller_under_test import ControllerUnderTest, FakeLauncher, running_controller
from fake_agent import FakeAgent
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from grpc import aio

from controller.ports import ContainerSpec


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data") as running:
        yield running


async def fork(controller: ControllerUnderTest, execution_id: str, **fields: Any) -> list[types_pb2.Execution]:
    request = pb.ForkExecutionRequest(execution=execution_id, **fields)
    return list((await controller.executions.ForkExecution(request)).executions)


async def test_a_fork_has_the_memory_of_the_savepoint_and_a_record_of_its_own(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run(input_value_json=b'{"a": 1}')
    agent.memory["data"] = "fetched"
    dump_id = await agent.call("create_dump", name="here")
    agent.memory["data"] = "spoiled"
    await agent.call("set_output", items={"later": 1})

    named = pb.SavepointSelector(name="here")
    (made,) = await fork(controller, execution_id, savepoint=named, input_json=b'{"b": 2}', name="twin")

    origin = types_pb2.ForkedFrom(execution_id=execution_id, savepoint_id=dump_id, savepoint=1, name="here", index=0)
    assert (made.name, made.forked_from, made.branch) == ("twin", origin, 1)
    assert json.loads(made.input_value_json) == {"a": 1, "b": 2}
    assert made.output_value_json == b"null"
    (own,) = await controller.list_savepoints(made.id)
    assert (own.number, own.name, own.call, own.parent_id) == (1, "here", "create_dump", "")
    assert (own.id, made.head_savepoint_id) == (made.head_savepoint_id, own.id)
    assert own.id != dump_id
    forked = await controller.launcher.agent(made.id)
    assert await forked.redone.get() == own.id
    assert forked.memory == {"data": "fetched"}
    assert forked.branch == 1
    assert forked.restored is not None
    assert (forked.restored["why"], forked.restored["fork"]) == ("fork", made.id)
    assert forked.restored["forked_from"] == {
        "execution_id": execution_id,
        "savepoint_id": dump_id,
        "savepoint": 1,
        "name": "here",
        "index": 0,
    }
    await controller.until(made.id, "RUNNING")
    assert await forked.call("get", fields=["id", "forked_from"]) == {
        "id": made.id,
        "forked_from": forked.restored["forked_from"],
    }
    assert agent.memory == {"data": "spoiled"}
    assert await controller.status(execution_id) == "RUNNING"


async def test_forks_begin_where_the_execution_stands_when_no_savepoint_is_named(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await agent.call("create_dump", name="b")
    await controller.load(execution_id, name="a")
    made = await fork(controller, execution_id, count=3, name="many")
    assert [(one.name, one.forked_from.name, one.forked_from.index) for one in made] == [
        ("many-1", "a", 0),
        ("many-2", "a", 1),
        ("many-3", "a", 2),
    ]


async def test_a_fork_tells_of_its_origin_after_a_load_of_its_own(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="here")
    (made,) = await fork(controller, execution_id)
    forked = await controller.launcher.agent(made.id)
    await forked.redone.get()
    await controller.until(made.id, "RUNNING")
    await controller.load(made.id, name="here")
    assert forked.restored is not None
    assert (forked.restored["why"], forked.restored["forked_from"]["execution_id"]) == ("operator", execution_id)


async def test_nothing_is_made_when_the_image_is_gone(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="here")
    for manifest in (controller.config.store / "manifests").iterdir():
        manifest.unlink()
    with pytest.raises(aio.AioRpcError) as raised:
        await fork(controller, execution_id, count=2)
    assert raised.value.code() is grpc.StatusCode.DATA_LOSS
    listed = await controller.executions.ListExecutions(pb.ListExecutionsRequest())
    assert [one.id for one in listed.executions] == [execution_id]
    assert not list((controller.config.store / "manifests").iterdir())


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({}, grpc.StatusCode.NOT_FOUND, "no savepoint yet"),
        ({"count": -1}, grpc.StatusCode.INVALID_ARGUMENT, "from 1 to 100"),
        ({"input_json": b"[1]"}, grpc.StatusCode.INVALID_ARGUMENT, "JSON objects"),
        ({"input_json": b"{"}, grpc.StatusCode.INVALID_ARGUMENT, "no JSON"),
        ({"name": "\n"}, grpc.StatusCode.INVALID_ARGUMENT, "control characters"),
        ({"savepoint": pb.SavepointSelector(id="7")}, grpc.StatusCode.NOT_FOUND, "it has none yet"),
    ],
)
async def test_a_fork_is_refused_with_the_reason(
    controller: ControllerUnderTest, fields: dict[str, Any], code: grpc.StatusCode, words: str
) -> None:
    execution_id, _ = await controller.run()
    with pytest.raises(aio.AioRpcError) as raised:
        await fork(controller, execution_id, **fields)
    assert raised.value.code() is code
    assert words in (raised.value.details() or "")


async def test_a_fork_ends_with_the_words_of_a_restore_that_fails(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="here")

    def fail(started: FakeAgent) -> None:
        started.fail_restores = "Error (criu/files.c:1): Can't open file"

    controller.launcher.on_start = fail
    (made,) = await fork(controller, execution_id)
    ended = await controller.ended(made.id)
    assert ended.status == types_pb2.EXECUTION_STATUS_ENDED_ERROR
    assert "Can't open file" in ended.message
    assert await controller.status(execution_id) == "RUNNING"


async def test_a_fork_is_restored_when_the_engine_answers_again(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="here")
    controller.launcher.refuse = "docker does not answer"
    (made,) = await fork(controller, execution_id)
    async with asyncio.timeout(20):
        while await controller.status(made.id) == "NEW":  # noqa: ASYNC110 (a client would ask, too)
            await asyncio.sleep(0.01)
    controller.launcher.refuse = ""
    forked = await controller.launcher.agent(made.id)
    assert await forked.redone.get() == made.head_savepoint_id
    assert forked.restored is not None
    assert forked.restored["why"] == "fork"


async def test_a_fork_knows_its_origin_after_its_first_savepoint_was_removed(tmp_path: Path) -> None:
    async with running_controller(tmp_path / "data", recovery_backoff_s=(0.0,)) as controller:
        execution_id, agent = await controller.run()
        await agent.call("create_dump", name="here")
        (made,) = await fork(controller, execution_id)
        forked = await controller.launcher.agent(made.id)
        await forked.redone.get()
        await forked.call("create_dump", name="later")
        first = pb.SavepointSelector(id="1")
        await controller.savepoints.DeleteSavepoints(pb.DeleteSavepointsRequest(execution=made.id, savepoints=[first]))
        await controller.launcher.die(made.id)
        fresh = await controller.launcher.agent(made.id)
        await fresh.redone.get()
        assert fresh.restored is not None
        assert (fresh.restored["why"], fresh.restored["savepoint"], fresh.restored["name"]) == ("fork", 1, "here")


class StuckLauncher(FakeLauncher):
    """Once it is stuck, containers never start."""

    stuck = False

    async def start(self, spec: ContainerSpec) -> None:
        if self.stuck:
            await asyncio.get_running_loop().create_future()
        await super().start(spec)


async def test_the_next_controller_restores_a_fork_that_was_only_recorded(tmp_path: Path) -> None:
    launcher = StuckLauncher(tmp_path / "data" / "agent-socket" / "agent.sock")
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run()
        agent.memory["data"] = 5
        await agent.call("create_dump", name="here")
        launcher.stuck = True
        (made,) = await fork(first, execution_id)
        assert made.status == types_pb2.EXECUTION_STATUS_NEW
    await launcher.close()
    async with running_controller(tmp_path / "data") as second:
        forked = await second.launcher.agent(made.id)
        async with asyncio.timeout(30):
            await forked.redone.get()
        await second.until(made.id, "RUNNING")
        assert forked.memory == {"data": 5}
        assert forked.restored is not None
        assert forked.restored["forked_from"]["execution_id"] == execution_id
