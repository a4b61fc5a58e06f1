"""Executions through the real servers: from create to the end, and what may go wrong on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from controller_under_test import SCRIPT, ControllerUnderTest, FakeLauncher, running_controller
from flowsnap.v1 import agent_pb2, agent_pb2_grpc, types_pb2
from flowsnap.v1 import control_pb2 as pb
from grpc import aio

from controller.config import Config
from controller.datadir import DataDir
from controller.errors import FailedPrecondition, Internal


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data") as running:
        yield running


async def test_flow_gets_its_script_and_fields_when_its_agent_attaches(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run(input_value_json=b'{"n": 1}', name="nightly ü")
    start = await agent.started
    assert (start.script, start.file_name) == (SCRIPT, "flow.py")
    fields = json.loads(start.execution_json)
    assert (fields["id"], fields["name"], fields["input_value"]) == (execution_id, "nightly ü", {"n": 1})
    assert (await controller.show("nightly ü")).status == types_pb2.EXECUTION_STATUS_RUNNING
    assert (await controller.show(execution_id)).container_image == "sha256:flowsnap/execution"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"script": "def handler(:\n"}, "flow.py:1: "),
        ({"script": "x = 1\n"}, "no handler"),
        ({"input_value_json": b"{"}, "no JSON"),
        ({"input_value_json": b"NaN"}, "no JSON"),
        ({"input_value_json": b'"' + bytes([97]) * (17 << 20) + b'"'}, "the limit is 16777216"),
        ({"name": "a\nb"}, "control characters"),
        ({"name": "x" * 201}, "201 characters"),
        ({"flow_name": "../flow.py"}, "no plain file name"),
        ({"memory_limit_bytes": 1}, "memory limit"),
    ],
)
async def test_execution_is_refused_when_it_can_not_be_run(
    controller: ControllerUnderTest, fields: dict[str, object], words: str
) -> None:
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.executions.CreateExecution(
            pb.CreateExecutionRequest(**{"script": SCRIPT, "flow_name": "flow.py", **fields})
        )
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in (raised.value.details() or "")
    assert not (await controller.executions.ListExecutions(pb.ListExecutionsRequest())).executions


async def test_execution_is_refused_when_its_image_is_missing(controller: ControllerUnderTest) -> None:
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.run(container_image="missing")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert "No such image" in (raised.value.details() or "")


async def test_execution_ends_with_the_words_when_its_container_can_not_be_started(
    controller: ControllerUnderTest,
) -> None:
    async def start(spec: object) -> None:
        raise Internal("the engine refuses")

    controller.launcher.start = start  # type: ignore[method-assign]
    request = pb.CreateExecutionRequest(script=SCRIPT, flow_name="flow.py")
    created = (await controller.executions.CreateExecution(request)).execution
    ended = await controller.ended(created.id)
    assert ended.status == types_pb2.EXECUTION_STATUS_ENDED_ERROR
    assert "the engine refuses" in ended.message


async def test_container_is_started_when_the_engine_answers_again(controller: ControllerUnderTest) -> None:
    controller.launcher.refuse = "docker does not answer"
    request = pb.CreateExecutionRequest(script=SCRIPT, flow_name="flow.py")
    created, cancelled = [(await controller.executions.CreateExecution(request)).execution.id for _ in range(2)]
    async with asyncio.timeout(20):
        while not await controller.log(created):  # noqa: ASYNC110 (a client would ask, too)
            await asyncio.sleep(0.01)
    assert "docker does not answer" in (await controller.log(created))[0].text
    assert await controller.status(created) == "NEW"
    await controller.cancel(cancelled)
    controller.launcher.refuse = ""
    agent = await controller.launcher.agent(created)
    await agent.started
    await controller.until(created, "RUNNING")
    assert len(await controller.log(created)) == 1
    await controller.ended(cancelled)
    assert list(controller.launcher.agents) == [created]


async def test_execution_ends_when_the_flow_says_success(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.end("success", "all done")
    ended = await controller.ended(execution_id)
    assert (ended.status, ended.message) == (types_pb2.EXECUTION_STATUS_ENDED_SUCCESS, "all done")
    assert execution_id not in controller.launcher.agents
    assert not (controller.config.agents / execution_id).exists()
    assert ended.savepoint_count == 1


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [
        ({"returned": True}, types_pb2.EXECUTION_STATUS_ENDED_SUCCESS, ""),
        ({"error": "Traceback: boom", "status": 1}, types_pb2.EXECUTION_STATUS_ENDED_ERROR, "Traceback: boom"),
    ],
)
async def test_execution_ends_as_reported_when_the_process_ended(
    controller: ControllerUnderTest, how: dict[str, object], status: int, message: str
) -> None:
    execution_id, agent = await controller.run()
    await agent.exit(**how)
    ended = await controller.ended(execution_id)
    assert (ended.status, ended.message) == (status, message)


async def test_report_of_an_exit_says_nothing_when_its_branch_was_left(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await controller.load(execution_id, name="a")
    agent.branch = 1
    await agent.exit(error="old tree", status=1)
    assert await controller.status(execution_id) == "RUNNING"


async def test_agent_is_refused_when_its_token_is_not_ours(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    forged = f"{execution_id}.{'0' * 64}"
    async with aio.insecure_channel(f"unix:{controller.config.agent_socket}") as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        for metadata in ((("authorization", f"Bearer {forged}"),), ()):
            with pytest.raises(aio.AioRpcError) as raised:
                await stub.Call(agent_pb2.CallRequest(branch=1, seq=1, name="get"), metadata=metadata)
            assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert (controller.config.agents / execution_id / "agent.json").stat().st_mode & 0o777 == 0o600
    assert await agent.call("get", fields=["id"]) == {"id": execution_id}


async def test_paused_execution_goes_on_where_it_was_when_resumed(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    sleeping = asyncio.create_task(agent.call("sleep", seconds=1000))
    await controller.until(execution_id, "SLEEPING")
    await controller.executions.PauseExecution(pb.PauseExecutionRequest(execution=execution_id))
    assert (await controller.status(execution_id), agent.frozen) == ("PAUSED", True)
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.executions.PauseExecution(pb.PauseExecutionRequest(execution=execution_id))
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await controller.executions.ResumeExecution(pb.ResumeExecutionRequest(execution=execution_id))
    assert (await controller.status(execution_id), agent.frozen) == ("SLEEPING", False)
    sleeping.cancel()
    kinds = {savepoint.kind for savepoint in await controller.list_savepoints(execution_id)}
    assert types_pb2.SAVEPOINT_KIND_PAUSE in kinds


async def test_cancelled_execution_keeps_a_last_savepoint(controller: ControllerUnderTest) -> None:
    execution_id, _ = await controller.run()
    request = pb.CancelExecutionRequest(execution=execution_id, reason="not needed")
    cancelled = (await controller.executions.CancelExecution(request)).execution
    assert (cancelled.status, cancelled.message) == (types_pb2.EXECUTION_STATUS_ENDED_CANCELLED, "not needed")
    assert [s.kind for s in await controller.list_savepoints(execution_id)] == [types_pb2.SAVEPOINT_KIND_OPERATOR]
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.executions.CancelExecution(request)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_execution_is_cancelled_all_the_same_when_no_savepoint_can_be_taken(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    agent.fail_savepoints = "CRIU refused"
    await controller.executions.CancelExecution(pb.CancelExecutionRequest(execution=execution_id))
    await controller.ended(execution_id)
    assert any("CRIU refused" in line.text for line in await controller.log(execution_id))


async def test_execution_is_gone_with_its_images_when_deleted(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.executions.DeleteExecution(pb.DeleteExecutionRequest(execution=execution_id))
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await controller.executions.DeleteExecution(pb.DeleteExecutionRequest(execution=execution_id, force=True))
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.show(execution_id)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert execution_id not in controller.launcher.agents
    assert not list((controller.config.store / "manifests").iterdir())


async def test_followed_log_ends_when_the_execution_has_ended(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    following = asyncio.create_task(controller.log(execution_id, follow=True))
    await agent.print("hello")
    await agent.call("log", args=["n is", 5], kwargs={"unit": "ms"})
    await agent.end("success", "")
    lines = await following
    assert [(line.number, line.stream, line.text) for line in lines] == [
        (1, "stdout", "hello"),
        (2, "log", "n is 5 unit=ms"),
    ]
    entry = json.loads((await controller.show(execution_id)).output_value_json)["logging"][0]
    assert (entry["args"], entry["kwargs"]) == (["n is", 5], {"unit": "ms"})


async def test_executions_are_found_by_prefix_and_listed_in_pages(controller: ControllerUnderTest) -> None:
    ids = [(await controller.run(name="same"))[0] for _ in range(3)]
    assert (await controller.show("same")).id == ids[2]
    assert (await controller.show(ids[0][:-1])).id == ids[0]
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.show(ids[0][:3])
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    first = await controller.executions.ListExecutions(pb.ListExecutionsRequest(page_size=2))
    rest = await controller.executions.ListExecutions(
        pb.ListExecutionsRequest(page_size=2, page_token=first.next_page_token)
    )
    assert [execution.id for execution in [*first.executions, *rest.executions]] == ids[::-1]
    assert rest.next_page_token == ""


async def test_agents_go_on_with_their_calls_when_the_controller_restarts(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run()
        await agent.call("set_output", items={"before": 1})
    async with running_controller(tmp_path / "data", launcher=launcher) as second:
        await second.services.live.get(execution_id).agent()
        await agent.call("set_output", items={"after": 2})
        shown = await second.show(execution_id)
        assert json.loads(shown.output_value_json) == {"before": 1, "after": 2}
        assert (shown.branch, agent.branch) == (1, 1)
    await launcher.close()


async def test_second_controller_is_refused_on_the_same_data_folder(controller: ControllerUnderTest) -> None:
    with pytest.raises(FailedPrecondition, match="another controller runs on it"):
        DataDir(controller.config).open()


async def test_execution_is_cancelled_too_when_it_is_begun_during_the_shutdown(tmp_path: Path) -> None:
    async with running_controller(tmp_path / "data") as controller:
        first, _ = await controller.run()
        controller.launcher.refuse_removal = "busy"
        serving = asyncio.create_task(controller.app.serve())
        await controller.system.Shutdown(pb.ShutdownRequest(stop_executions=True))
        await controller.until(first, "ENDED_CANCELLED")
        second = (await controller.executions.CreateExecution(pb.CreateExecutionRequest(script=SCRIPT))).execution.id
        controller.launcher.refuse_removal = ""
        await serving
    async with running_controller(tmp_path / "data") as controller:
        assert [await controller.status(one) for one in (first, second)] == ["ENDED_CANCELLED"] * 2


async def test_executions_are_cancelled_when_the_shutdown_asks_for_it(tmp_path: Path) -> None:
    async with running_controller(tmp_path / "data") as controller:
        execution_id, _ = await controller.run()
        await controller.system.Shutdown(pb.ShutdownRequest(stop_executions=True))
    async with running_controller(tmp_path / "data") as controller:
        assert await controller.status(execution_id) == "ENDED_CANCELLED"
        info = await controller.system.GetSystemInfo(pb.GetSystemInfoRequest())
        assert (info.executions, info.running, info.savepoints) == (1, 0, 1)


async def test_hosts_are_told_when_they_are_asked_for(controller: ControllerUnderTest) -> None:
    """As many as the launcher has; who does not ask waits for none."""
    info = await controller.system.GetSystemInfo(pb.GetSystemInfoRequest())
    assert not info.hosts
    info = await controller.system.GetSystemInfo(pb.GetSystemInfoRequest(with_hosts=True))
    assert [host.name for host in info.hosts] == ["north", "south"]
    first = info.hosts[0]
    assert (first.state, first.cpus, first.memory_bytes) == (pb.HOST_STATE_READY, 8, 64 << 30)
    assert (first.kernel, first.architecture, first.engine_version) == ("6.12", "aarch64", "26.1")
    assert (first.containers, first.executions) == (5, 3)
    controller.launcher.refuse = "the engine is gone"
    info = await controller.system.GetSystemInfo(pb.GetSystemInfoRequest(with_hosts=True))
    [host] = info.hosts
    assert (host.name, host.state, host.problem) == ("north", pb.HOST_STATE_AWAY, "the engine is gone")
