"""Children and tasks as the controller keeps them: found again, run again, held, refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from controller_under_test import SCRIPT, ControllerUnderTest, FakeLauncher, running_controller
from fake_agent import FlowError
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2

from controller.config import Config


class SlowConnector:
    """Waits until a test lets it end."""

    summary = "slow"
    places = ()

    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}
        self.probe: dict[str, Any] = {}
        self.keys: list[str] = []
        self.called = asyncio.Event()
        self.may_end = asyncio.Event()

    def check(self, value: Any) -> None:
        """Takes anything."""

    async def call(
        self, inputs: dict[str, Any], *, idempotency_key: str, secret: Any = (), led_by_flow: bool = False
    ) -> dict[str, Any]:
        self.keys.append(idempotency_key)
        self.called.set()
        await self.may_end.wait()
        return {"result": len(self.keys)}


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data") as found:
        yield found


async def children(controller: ControllerUnderTest, parent: str) -> list[types_pb2.Execution]:
    return list((await controller.executions.GetExecution(pb.GetExecutionRequest(execution=parent))).children)


async def push(controller: ControllerUnderTest, name: str = "child") -> None:
    await controller.flows.PushFlow(pb.PushFlowRequest(name=name, script=SCRIPT))


async def test_a_repeated_call_finds_the_child_that_it_made_before(controller: ControllerUnderTest) -> None:
    await push(controller)
    parent, agent = await controller.run()
    call = {"seq": 1, "name": "flow", "args": {"flow": {"name": "child"}, "wait": "ALL_ENDED"}}
    first, second = (asyncio.create_task(agent._carry_out(call)) for _ in range(2))
    await controller.until(parent, "WAITING_CHILD")
    (child,) = await children(controller, parent)
    await (await controller.launcher.agent(child.id)).end("success", "done")
    assert (await first)["id"] == (await second)["id"] == child.id
    assert await controller.status(parent) == "RUNNING"


async def test_a_task_is_run_again_under_the_same_key_when_the_controller_went_away(tmp_path: Path) -> None:
    connector = SlowConnector()
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    settings: dict[str, Any] = {"connectors": {"SLOW": lambda: connector}, "launcher": launcher}
    async with running_controller(tmp_path / "data", **settings) as controller:
        parent, agent = await controller.run()
        child = await agent.call("task", connector_type="SLOW", inputs={}, wait=False)
        await connector.called.wait()
    connector.may_end.set()
    async with running_controller(tmp_path / "data", **settings) as controller:
        ended = await controller.ended(child["id"])
        assert (ended.status, ended.output_value_json) == (types_pb2.EXECUTION_STATUS_ENDED_SUCCESS, b'{"result":2}')
        assert connector.keys == [f"{parent}-1-1"] * 2
    await launcher.close()


async def test_a_held_child_has_no_container_until_it_is_started_also_by_the_next_controller(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as controller:
        await push(controller)
        parent, agent = await controller.run()
        child = await agent.call("flow", flow={"name": "child"}, run=False)
    async with running_controller(tmp_path / "data", launcher=launcher) as controller:
        assert list(launcher.agents) == [parent]
        with pytest.raises(FlowError, match="run=False"):
            await agent.call("wait_for", executions=[child["id"]])
        await agent.call("run", execution=child["id"], wait=False)
        await (await launcher.agent(child["id"])).end("success", "")
        assert (await controller.ended(child["id"])).parent_id == parent
    await launcher.close()


async def test_a_task_goes_with_a_parent_that_was_removed_by_force(tmp_path: Path) -> None:
    connector = SlowConnector()
    async with running_controller(tmp_path / "data", connectors={"SLOW": lambda: connector}) as controller:
        parent, agent = await controller.run()
        await agent.call("task", connector_type="SLOW", inputs={}, wait=False)
        await connector.called.wait()
        await controller.delete(parent, force=True)
        connector.may_end.set()
        async with asyncio.timeout(20):
            everything = pb.ListExecutionsRequest(with_tasks=True)
            while (await controller.executions.ListExecutions(everything)).executions:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_cancelled_task_stays_cancelled(tmp_path: Path) -> None:
    connector = SlowConnector()
    async with running_controller(tmp_path / "data", connectors={"SLOW": lambda: connector}) as controller:
        _, agent = await controller.run()
        child = await agent.call("task", connector_type="SLOW", inputs={"password": "geheim"}, wait=False)
        await connector.called.wait()
        cancelled = await controller.executions.CancelExecution(
            pb.CancelExecutionRequest(execution=child["id"], reason="enough")
        )
        assert cancelled.execution.status == types_pb2.EXECUTION_STATUS_ENDED_CANCELLED
        assert b"geheim" not in cancelled.SerializeToString()
        with pytest.raises(FlowError, match="enough") as caught:
            await agent.call("wait_for", executions=[child["id"]])
        assert caught.value.type == "DependencyFailedError"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("../up.py", "plain relative path"),
        ("/etc/up.py", "plain relative path"),
        ("a/./b.py", "plain relative path"),
        ("", "plain relative path"),
        ("flow.py", "there twice"),
        ("a\nb.py", "control characters"),
    ],
)
async def test_a_file_that_would_stand_elsewhere_is_refused(
    controller: ControllerUnderTest, path: str, words: str
) -> None:
    request = pb.PushFlowRequest(
        name="f", script=SCRIPT, script_file="flow.py", files=[types_pb2.FlowFile(path=path, content=b"")]
    )
    with pytest.raises(Exception, match=words):
        await controller.flows.PushFlow(request)


async def test_a_module_that_does_not_parse_is_refused_with_its_line(controller: ControllerUnderTest) -> None:
    files = [types_pb2.FlowFile(path="helpers/x.py", content=b"\n\ndef (")]
    with pytest.raises(Exception, match=r"helpers/x.py:3: invalid syntax"):
        await controller.flows.PushFlow(pb.PushFlowRequest(name="f", script=SCRIPT, files=files))


@pytest.mark.parametrize(
    ("args", "kind", "words"),
    [
        ({"flow": {"name": "absent"}}, "ResourceNotFoundError", "flow push"),
        ({"flow": "child"}, "InvalidInputError", "object"),
        ({"flow": {"name": "child"}, "wait": "SOMETIMES"}, "InvalidInputError", "ALL_ENDED"),
        ({"flow": {"name": "child"}, "init": {"status": "NEW"}}, "InvalidInputError", "container_image"),
        ({"flow": {"name": "child"}, "init": {"pids_limit": "many"}}, "InvalidInputError", "many"),
        ({"flow": {"name": "child"}, "name": ""}, "InvalidInputError", "1 to 200"),
    ],
)
async def test_a_child_that_makes_no_sense_is_refused(
    controller: ControllerUnderTest, args: dict[str, Any], kind: str, words: str
) -> None:
    await push(controller)
    parent, agent = await controller.run()
    with pytest.raises(FlowError, match=words) as caught:
        await agent.call("flow", **args)
    assert caught.value.type == kind
    assert await children(controller, parent) == []
