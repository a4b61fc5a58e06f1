"""Loads through the real servers: in place, of ended executions, failed ones, and undo."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from controller_under_test import ControllerUnderTest, running_controller
from fake_agent import FlowError, Halted
from flowsnap.v1 import types_pb2
from grpc import aio


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data") as running:
        yield running


async def test_tree_goes_back_when_a_named_savepoint_is_loaded(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    agent.memory["data"] = "fetched"
    dump_id = await agent.call("create_dump", name="with-fetched-data")
    agent.memory["data"] = "spoiled"
    await agent.call("set_output", items={"later": 1})

    loaded = await controller.load(execution_id, name="with-fetched-data")

    assert await agent.redone.get() == dump_id
    assert agent.memory == {"data": "fetched"}
    assert agent.restored == {
        "times": 1,
        "savepoint": 1,
        "savepoint_id": dump_id,
        "name": "with-fetched-data",
        "why": "operator",
    }
    assert (loaded.execution.branch, loaded.execution.load_count) == (2, 1)
    assert loaded.execution.output_value_json == b"null"
    assert loaded.savepoint.kind == types_pb2.SAVEPOINT_KIND_EXPLICIT
    assert loaded.before.number == 3
    assert loaded.left_behind == 1
    assert loaded.restore_us == 14000
    assert not agent.frozen
    lines = [line.text for line in await controller.log(execution_id)]
    assert lines == ["--- loaded savepoint 1 'with-fetched-data' (line 1, create_dump), by operator ---"]


async def test_execution_goes_on_as_it_was_when_the_restore_fails(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await agent.call("set_output", items={"x": 1})
    agent.fail_restores = "Error (criu/files.c:1): Can't open file"
    before = await controller.show(execution_id)

    with pytest.raises(aio.AioRpcError) as raised:
        await controller.load(execution_id, name="a")

    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert "Can't open file" in (raised.value.details() or "")
    after = await controller.show(execution_id)
    assert (after.status, after.branch, after.output_value_json) == (before.status, 1, before.output_value_json)
    assert (agent.frozen, agent.thaws) == (False, 1)
    assert await agent.call("get", fields=["branch"]) == {"branch": 1}


async def test_paused_tree_stays_frozen_when_the_restore_fails(controller: ControllerUnderTest) -> None:
    from flowsnap.v1 import control_pb2 as pb

    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await controller.executions.PauseExecution(pb.PauseExecutionRequest(execution=execution_id))
    agent.fail_restores = "no"
    with pytest.raises(aio.AioRpcError):
        await controller.load(execution_id, name="a")
    assert agent.frozen
    assert await controller.status(execution_id) == "PAUSED"


async def test_load_is_refused_and_the_tree_thawed_when_the_image_is_damaged(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    for pack in (controller.config.store / "packs").iterdir():
        content = bytearray(pack.read_bytes())
        content[len(content) // 3] ^= 0xFF
        pack.write_bytes(content)
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.load(execution_id, name="a")
    assert raised.value.code() is grpc.StatusCode.DATA_LOSS
    assert not agent.frozen
    assert await controller.status(execution_id) == "RUNNING"


async def test_ended_execution_goes_on_in_a_new_container_when_loaded(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    agent.memory["data"] = 5
    await agent.call("create_dump", name="a")
    await agent.end("error", "upload failed")
    assert (await controller.ended(execution_id)).message == "upload failed"

    loaded = await controller.load(execution_id, name="a")

    assert not loaded.HasField("before")
    fresh = await controller.launcher.agent(execution_id)
    assert fresh is not agent
    assert fresh.memory == {"data": 5}
    assert fresh.settings["mode"] == "restore"
    assert await fresh.redone.get() == loaded.savepoint.id
    assert await controller.status(execution_id) == "RUNNING"
    await fresh.end("success", "all done")
    ended = await controller.ended(execution_id)
    assert (ended.status, ended.message) == (types_pb2.EXECUTION_STATUS_ENDED_SUCCESS, "all done")


async def test_ended_execution_stays_ended_when_its_restore_fails(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await agent.exit(error="Traceback: boom", status=1)
    before = await controller.ended(execution_id)

    def fail(agent: object) -> None:
        agent.fail_restores = "CRIU refused"

    controller.launcher.on_start = fail
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.load(execution_id, name="a")
    assert "CRIU refused" in (raised.value.details() or "")
    after = await controller.show(execution_id)
    assert after == before
    assert execution_id not in controller.launcher.agents
    assert not (controller.config.agents / execution_id).exists()


async def test_undo_goes_back_to_the_state_before_when_the_execution_ran(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    agent.memory["late"] = True
    await agent.call("log", args=["late"], kwargs={})
    loaded = await controller.load(execution_id, name="a")
    assert "late" not in agent.memory

    undone = await controller.undo(execution_id)

    assert agent.memory == {"late": True}
    assert undone.undone.id == loaded.savepoint.id
    assert undone.savepoint.id == loaded.before.id
    assert undone.execution.branch == 3
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.undo(execution_id)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_undo_ends_the_execution_again_when_it_had_ended(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await agent.exit(error="Traceback: boom", status=1)
    before = await controller.ended(execution_id)
    await controller.load(execution_id, name="a")

    undone = await controller.undo(execution_id)

    assert not undone.HasField("savepoint")
    assert undone.execution.status == types_pb2.EXECUTION_STATUS_ENDED_ERROR
    assert (undone.execution.message, undone.execution.ended_at) == (before.message, before.ended_at)
    await controller.ended(execution_id)
    assert execution_id not in controller.launcher.agents


async def test_script_goes_back_by_load_dump_until_max_times(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="again")
    for times in (1, 2):
        with pytest.raises(Halted):
            await agent.call("load_dump", selector="again", by="name", max_times=2)
        await agent.redone.get()
        assert agent.restored is not None
        assert (agent.restored["times"], agent.restored["why"]) == (times, "script")
    with pytest.raises(FlowError) as raised:
        await agent.call("load_dump", selector=1, by="id", max_times=2)
    assert raised.value.type == "SavepointLoopError"
    assert await controller.status(execution_id) == "RUNNING"


async def test_script_hears_of_a_load_dump_that_failed(controller: ControllerUnderTest) -> None:
    _, agent = await controller.run()
    await agent.call("create_dump", name="a")
    agent.fail_restores = "CRIU refused"
    with pytest.raises(FlowError) as raised:
        await agent.call("load_dump", selector="a", by="name")
    assert raised.value.type == "SavepointError"
    assert "CRIU refused" in raised.value.message
    with pytest.raises(FlowError) as raised:
        await agent.call("load_dump", selector="b", by="name")
    assert raised.value.type == "ResourceNotFoundError"
    assert "'a'" in raised.value.message


async def test_execution_ends_with_an_error_when_load_dump_loops(tmp_path: Path) -> None:
    async with running_controller(tmp_path / "data", script_load_limit=2) as controller:
        execution_id, agent = await controller.run()
        await agent.call("create_dump", name="a")
        for _ in range(2):
            with pytest.raises(Halted):
                await agent.call("load_dump", selector="a", by="name")
            await agent.redone.get()
        with contextlib.suppress(Halted, aio.AioRpcError, asyncio.CancelledError):
            await agent.call("load_dump", selector="a", by="name")
        ended = await controller.ended(execution_id)
    assert ended.status == types_pb2.EXECUTION_STATUS_ENDED_ERROR
    assert "the limit of one execution is 2" in ended.message


async def test_open_call_is_carried_out_anew_when_its_savepoint_is_loaded(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    sleeping = asyncio.create_task(agent.call("sleep", seconds=1000))
    await controller.until(execution_id, "SLEEPING")
    await controller.until_saved(execution_id)

    dry = await controller.load(execution_id, id="1", dry_run=True)
    assert list(dry.repeated_calls) == ["sleep"]
    assert (dry.execution.branch, agent.branch) == (1, 1)
    await controller.load(execution_id, id="1")

    with pytest.raises(Halted):
        await sleeping
    await controller.until(execution_id, "SLEEPING")
    assert agent.branch == 2


async def test_load_is_refused_when_the_savepoint_is_unknown_or_anothers(controller: ControllerUnderTest) -> None:
    one, agent = await controller.run()
    dump_id = await agent.call("create_dump", name="mine ünicode")
    other, _ = await controller.run()
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.load(other, id=dump_id)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert one in (raised.value.details() or "")
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.load(one, name="yours")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert "mine ünicode" in (raised.value.details() or "")


async def test_output_value_goes_back_with_its_savepoint(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("set_output", items={"a": 1})
    await agent.call("create_dump", name="one")
    await agent.call("set_output", items={"b": 2})
    await controller.load(execution_id, name="one")
    await agent.redone.get()
    await agent.call("set_output", items={"c": 3})
    assert json.loads((await controller.show(execution_id)).output_value_json) == {"a": 1, "c": 3}
