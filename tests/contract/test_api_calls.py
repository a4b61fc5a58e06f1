"""Flow-API calls and savepoint commits through the real servers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from controller_under_test import ControllerUnderTest, running_controller
from fake_agent import FlowError
from flowsnap.v1 import agent_pb2, types_pb2
from flowsnap.v1 import control_pb2 as pb
from grpc import aio

from controller.ports import ImageStore
from store.errors import StoreFull


class Refused(Exception):
    error_type = "ConnectorError"
    message = "status 500"


class CountingConnector:
    """Counts, and waits where it is told to."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.called = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.fails = False

    summary = "counts"
    places: tuple[str, ...] = ("host",)
    inputs: ClassVar[Any] = {}
    probe: ClassVar[Any] = {}

    def check(self, value: Any) -> None:
        """Takes anything."""

    async def call(
        self, inputs: dict[str, Any], *, idempotency_key: str, secret: Any = (), led_by_flow: bool = False
    ) -> dict[str, Any]:
        self.seen.append({**inputs, "key": idempotency_key, "led_by_flow": led_by_flow})
        self.called.set()
        await self.may_end.wait()
        if self.fails:
            raise Refused
        return {"result": len(self.seen)}


class FullStore:
    """The real store on a disk that is full for the next few puts."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self.refusals = 0

    def put(self, *args: Any, **kwargs: Any) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise StoreFull("No space left on device")
        return self._store.put(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
def connector() -> CountingConnector:
    return CountingConnector()


@pytest.fixture
async def controller(tmp_path: Path, connector: CountingConnector) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(
        tmp_path / "data", connectors={"COUNT": lambda: connector}, store=FullStore
    ) as running:
        yield running


async def test_call_is_carried_out_once_when_it_is_repeated(
    controller: ControllerUnderTest, connector: CountingConnector
) -> None:
    _, agent = await controller.run()
    connector.may_end.clear()
    call = {"seq": 1, "name": "connect", "args": {"connector_type": "COUNT", "inputs": {}}}
    first, second = (asyncio.create_task(agent._carry_out(call)) for _ in range(2))
    await connector.called.wait()
    first.cancel()
    connector.may_end.set()
    assert (await second)["output_value"] == {"result": 1}
    assert (await agent._carry_out(call))["output_value"] == {"result": 1}
    assert len(connector.seen) == 1


async def test_connection_value_is_overlaid_with_the_calls_inputs(
    controller: ControllerUnderTest, connector: CountingConnector
) -> None:
    connection = types_pb2.Connection(
        name="db", connector_type="COUNT", value_json=b'{"user": "u", "password": "geheim", "table": "t"}'
    )
    await controller.connections.SaveConnection(pb.SaveConnectionRequest(connection=connection))
    _, agent = await controller.run()
    result = await agent.call("connect", connection="db", inputs={"table": "mine"})
    assert (result["status"], result["output_value"]) == ("ENDED_SUCCESS", {"result": 1})
    assert connector.seen[0]["user"] == "u"
    assert connector.seen[0]["table"] == "mine"
    listed = await controller.connections.ListConnections(pb.ListConnectionsRequest())
    assert b"geheim" not in listed.SerializeToString()
    await controller.connections.DeleteConnection(pb.DeleteConnectionRequest(name="db"))
    with pytest.raises(FlowError) as raised:
        await agent.call("connect", connection="db", inputs={})
    assert raised.value.type == "ResourceNotFoundError"


async def test_where_a_connection_leads_is_out_of_a_flows_reach(
    controller: ControllerUnderTest, connector: CountingConnector
) -> None:
    connection = types_pb2.Connection(name="db", connector_type="COUNT", value_json=b'{"host": "h", "table": "t"}')
    await controller.connections.SaveConnection(pb.SaveConnectionRequest(connection=connection))
    _, agent = await controller.run()
    for host in ("other", None):
        with pytest.raises(FlowError) as raised:
            await agent.call("connect", connection="db", inputs={"host": host})
        words = "where the connection 'db' leads is its own business: leave out host"
        assert (raised.value.type, raised.value.message) == ("InvalidInputError", words)
    # A plug-in that says of no input where it leads keeps all that the connection sets.
    connector.places = ()
    with pytest.raises(FlowError, match="leave out table"):
        await agent.call("connect", connection="db", inputs={"table": "mine"})
    await agent.call("connect", connection="db", inputs={"more": 1})
    assert [one["led_by_flow"] for one in connector.seen] == [False]


async def test_flow_leads_the_call_when_it_saved_the_connection_or_uses_none(
    controller: ControllerUnderTest, connector: CountingConnector
) -> None:
    execution, agent = await controller.run()
    await agent.call("connection_save", name="mine", connection_type="COUNT", value={"host": "h"})
    await agent.call("connect", connection="mine", inputs={})
    await agent.call("connect", connector_type="COUNT", inputs={"host": "h"})
    await controller.connections.TestConnection(pb.TestConnectionRequest(name="mine"))
    assert [one["led_by_flow"] for one in connector.seen] == [True, True, True]
    [listed] = (await controller.connections.ListConnections(pb.ListConnectionsRequest())).connections
    assert listed.saved_by == execution
    with pytest.raises(FlowError, match="leave out host"):
        await agent.call("connect", connection="mine", inputs={"host": "other"})


async def test_operators_connection_stays_when_a_flow_would_change_it(controller: ControllerUnderTest) -> None:
    _, agent = await controller.run()
    await agent.call("connection_save", name="db", connection_type="COUNT", value={"host": "flow's"})
    connection = types_pb2.Connection(name="db", connector_type="COUNT", value_json=b'{"host": "h"}')
    await controller.connections.SaveConnection(pb.SaveConnectionRequest(connection=connection))
    for name, arguments in (("connection_save", {"connection_type": "COUNT", "value": {}}), ("connection_delete", {})):
        with pytest.raises(FlowError, match="is an operator's") as raised:
            await agent.call(name, name="db", **arguments)
        assert raised.value.type == "PermissionDenied"
    found = (await controller.connections.GetConnection(pb.GetConnectionRequest(name="db"))).connection
    assert (found.value_json, found.saved_by) == (b'{"host":"h"}', "")


async def test_flow_gets_the_connectors_error_when_it_refuses(
    controller: ControllerUnderTest, connector: CountingConnector
) -> None:
    _, agent = await controller.run()
    connector.fails = True
    with pytest.raises(FlowError) as raised:
        await agent.call("connect", connector_type="COUNT", inputs={})
    assert (raised.value.type, raised.value.message) == ("ConnectorError", "status 500")


@pytest.mark.parametrize(
    ("name", "args", "error_type"),
    [
        ("fly", {}, "InternalError"),
        ("get", {"fields": ["wings"]}, "InvalidInputError"),
        ("get", {}, "MissingInputError"),
        ("save", {"fields": {"id": "x"}}, "InvalidInputError"),
        ("sleep", {"seconds": -1}, "InvalidInputError"),
        ("sleep", {"seconds": "long"}, "InvalidInputError"),
        ("setting_get", {"name": "missing"}, "ResourceNotFoundError"),
        ("setting_get", {"name": "a\nb"}, "InvalidInputError"),
        ("file_delete", {"name": "missing"}, "ResourceNotFoundError"),
        ("file_save", {"name": "f", "content_base64": "?"}, "InvalidInputError"),
        ("connect", {}, "MissingInputError"),
        ("connect", {"connector_type": "NONE"}, "ResourceNotFoundError"),
        ("load_dump", {"selector": "x", "by": "mood"}, "InvalidInputError"),
        ("create_dump", {"name": "x" * 201}, "InvalidInputError"),
        ("set_output", {"items": {"k": "x" * (17 << 20)}}, "InvalidInputError"),
    ],
)
async def test_flow_gets_an_error_when_a_call_is_wrong(
    controller: ControllerUnderTest, name: str, args: dict[str, Any], error_type: str
) -> None:
    execution_id, agent = await controller.run()
    with pytest.raises(FlowError) as raised:
        await agent.call(name, **args)
    assert raised.value.type == error_type
    assert await controller.status(execution_id) == "RUNNING"


async def test_settings_and_files_are_kept_across_executions(controller: ControllerUnderTest) -> None:
    _, one = await controller.run()
    _, other = await controller.run()
    content = base64.b64encode(b"\x00bytes").decode()
    await one.call("setting_save", name="s", value={"a": [1]})
    await one.call("file_save", name="f", content_base64=content)
    assert await other.call("setting_get", name="s") == {"a": [1]}
    assert await other.call("file_get", name="f") == content
    assert await other.call("setting_exists", name="s") is True
    await other.call("setting_delete", name="s")
    assert await one.call("setting_exists", name="s") is False


async def test_status_line_shows_while_the_flow_runs(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("save", fields={"message": "half way", "output_value": [1]})
    shown = await controller.show(execution_id)
    assert (shown.message, shown.output_value_json, shown.last_call) == ("half way", b"[1]", "save")


async def test_status_goes_back_to_running_when_the_sleep_is_over(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("sleep", seconds=0.01)
    assert await controller.status(execution_id) == "RUNNING"


async def test_calls_of_several_threads_are_carried_out_at_once(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await asyncio.gather(*(agent.call("set_output", items={str(n): n}) for n in range(20)))
    assert await agent.call("get", fields=["output_value"]) == {"output_value": {str(n): n for n in range(20)}}
    assert len(await controller.list_savepoints(execution_id)) == 21


async def test_savepoints_of_calls_name_their_place(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("log", args=[1], kwargs={})
    created = await controller.savepoints.CreateSavepoint(
        pb.CreateSavepointRequest(execution=execution_id, name="by hand")
    )
    first, second = await controller.list_savepoints(execution_id)
    assert (first.number, first.call, first.file, first.line) == (1, "log", "flow.py", 1)
    assert (first.kind, first.frozen_us, first.dump_us) == (types_pb2.SAVEPOINT_KIND_CALL, 5000, 9000)
    assert (second.id, second.parent_id, second.name) == (created.savepoint.id, first.id, "by hand")
    assert second.kind == types_pb2.SAVEPOINT_KIND_OPERATOR
    assert first.raw_bytes > second.stored_bytes > 0


async def test_call_waits_when_the_store_is_full(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    controller.services.store.refusals = 2
    await agent.call("create_dump", name="a")
    lines = [line.text for line in await controller.log(execution_id)]
    assert len(lines) == 1
    assert "No space left on device" in lines[0]


async def test_commit_fails_and_the_execution_lives_when_the_store_is_full(tmp_path: Path) -> None:
    async with running_controller(tmp_path / "data", store=FullStore, on_store_full="fail") as controller:
        execution_id, agent = await controller.run()
        controller.services.store.refusals = 1
        with pytest.raises(aio.AioRpcError) as raised:
            await agent.call("create_dump", name="a")
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await controller.status(execution_id) == "RUNNING"
        assert await agent.call("get", fields=["status"]) == {"status": "RUNNING"}


async def test_commit_is_refused_when_its_branch_was_left_or_its_folder_is_none(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await controller.load(execution_id, name="a")
    await agent.redone.get()
    (agent.folder / "spool" / "late").mkdir()
    for branch, folder, code in (
        (1, "late", grpc.StatusCode.FAILED_PRECONDITION),
        (2, "../../other", grpc.StatusCode.INVALID_ARGUMENT),
        (2, "nowhere", grpc.StatusCode.NOT_FOUND),
    ):
        request = agent_pb2.CommitSavepointRequest(
            kind=types_pb2.SAVEPOINT_KIND_CALL, branch=branch, seq=9, image_dir=folder
        )
        with pytest.raises(aio.AioRpcError) as raised:
            await agent.stub.CommitSavepoint(request, metadata=agent.metadata)
        assert raised.value.code() is code
    assert len(await controller.list_savepoints(execution_id)) == 2


async def test_calls_of_a_branch_that_was_left_get_silence(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await controller.load(execution_id, name="a")
    request = agent_pb2.CallRequest(branch=1, seq=7, name="get", args_json=b'{"fields":["id"]}')
    response = await agent.stub.Call(request, metadata=agent.metadata)
    assert response.HasField("halt")
    assert not response.halt.end


async def test_garbage_is_collected_when_executions_are_gone(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await controller.executions.DeleteExecution(pb.DeleteExecutionRequest(execution=execution_id, force=True))
    dry = await controller.system.CollectGarbage(pb.CollectGarbageRequest(dry_run=True))
    collected = await controller.system.CollectGarbage(pb.CollectGarbageRequest())
    assert dry.removed_bytes == collected.removed_bytes > 0
    assert (await controller.system.CollectGarbage(pb.CollectGarbageRequest())).removed_packs == 0


async def test_trial_goes_through_a_dump_and_a_restore(controller: ControllerUnderTest) -> None:
    async def run_trial() -> pb.RunTrialResponse:
        return await controller.system.RunTrial(pb.RunTrialRequest())

    trial = asyncio.create_task(run_trial())
    agent = await controller.launcher.agent()
    await agent.started
    await agent.call("create_dump", name="trial")
    going_back = asyncio.create_task(agent.call("load_dump", selector="trial", by="name", max_times=1))
    await agent.redone.get()
    await agent.end("success", "restored")
    result = await trial
    await asyncio.gather(going_back, return_exceptions=True)
    assert (result.ok, result.detail, result.criu_version) == (True, "", "4.2.1")
    assert (result.dump_us, result.restore_us) == (9000, 14000)
    assert not (await controller.executions.ListExecutions(pb.ListExecutionsRequest())).executions
