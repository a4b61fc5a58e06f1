"""A whole controller in this process: real servers, real database, real store; containers are FakeAgents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fake_agent import FakeAgent
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import control_pb2_grpc, retention_pb2_grpc, types_pb2, web_pb2_grpc
from grpc import aio

from controller.app import App
from controller.config import Config
from controller.datadir import DataDir
from controller.db import SqlDatabase, migrate, sqlite_url
from controller.errors import AlreadyExists, NotFound, Unavailable
from controller.ports import Connector, ContainerEnd, ContainerSpec, Host, HostState, ImageStore
from controller.services import Services
from controller.tokens import AgentTokens
from store.local import LocalStore

SCRIPT = "def handler(system, this):\n    return this.success('done')\n"


async def until(condition: Callable[[], object], limit_s: float = 20) -> None:
    """Of what is inside the controller, or its launcher, and tells nobody when it changes."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.005)


class FakeLauncher:
    """Its containers are agents in this process; one that is removed, or stops by itself, has ended."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.agents: dict[str, FakeAgent] = {}
        self.specs: list[ContainerSpec] = []
        self.refuse = ""
        self.refuse_removal = ""
        self.loses_answers = False  # a start is carried out, and nobody hears of it
        self.away = ""  # why the engine does not answer
        self.ends_with_engine = False
        self.missing: set[str] = set()
        self.on_start: Callable[[FakeAgent], None] = lambda agent: None
        self.oom: set[str] = set()
        self._ends: dict[str, asyncio.Event] = {}
        self._started = asyncio.Event()

    async def agent(self, execution_id: str = "") -> FakeAgent:
        """The execution's, once it is there; without an id: the first that starts."""
        async with asyncio.timeout(10):
            while not self.agents or (execution_id and execution_id not in self.agents):
                self._started.clear()
                await self._started.wait()
        return self.agents[execution_id or next(iter(self.agents))]

    async def gone(self, agent: FakeAgent) -> None:
        """Until the container of that agent has been removed."""
        await until(lambda: agent not in self.agents.values())

    async def die(self, execution_id: str) -> None:
        """The container is gone, without a word."""
        await self.agents.pop(execution_id).close()
        self._ends[execution_id].set()

    async def start(self, spec: ContainerSpec) -> None:
        if self.refuse:
            raise Unavailable(self.refuse)
        if spec.image in self.missing:
            raise NotFound(f"image {spec.image}: No such image")
        if spec.execution_id in self.agents:
            raise AlreadyExists(f"container of {spec.execution_id}: its name is already in use")
        self.specs.append(spec)
        self._ends[spec.execution_id] = asyncio.Event()
        agent = self.agents[spec.execution_id] = FakeAgent(spec.agent_dir, self._socket)
        self.on_start(agent)
        self._started.set()
        if self.loses_answers:
            self.loses_answers = False
            raise Unavailable("the engine was gone before it answered")

    async def remove(self, execution_id: str) -> None:
        if self.refuse_removal:
            raise Unavailable(self.refuse_removal)
        agent = self.agents.pop(execution_id, None)
        if agent is not None:
            await agent.close()
            self._ends[execution_id].set()

    async def oom_killed(self, execution_id: str) -> bool:
        return execution_id in self.oom

    async def resolve_image(self, image: str) -> str:
        if image == "missing" or image in self.missing:
            raise NotFound("image missing: No such image")
        return f"sha256:{image}"

    async def read_file(self, image: str, path: str, limit_bytes: int) -> bytes:
        raise NotFound(f"file {path} of image {image}: there is none")

    async def wait_end(self, execution_id: str) -> ContainerEnd:
        if execution_id in self._ends:
            await self._ends[execution_id].wait()
        return ContainerEnd(execution_id, 137, oom_killed=False, engine_away=self.ends_with_engine)

    async def tail(self, execution_id: str) -> str:
        return "agent: fell over"

    async def list_executions(self) -> list[str]:
        if self.away:
            raise Unavailable(self.away)
        return list(self.agents)

    async def hosts(self) -> list[Host]:
        if self.refuse:
            return [Host("north", "tcp://north:2376", HostState.AWAY, self.refuse)]
        return [
            Host(name, f"tcp://{name}:2376", HostState.READY, "", "6.12", "aarch64", 8, 64 << 30, "26.1", 5, 3)
            for name in ("north", "south")
        ]

    async def close(self) -> None:
        for agent in self.agents.values():
            await agent.close()


class ControllerUnderTest:
    """One controller with its clients' stubs."""

    def __init__(self, config: Config, services: Services, launcher: FakeLauncher, app: App) -> None:
        self.config = config
        self.services = services
        self.launcher = launcher
        self.app = app
        options = [("grpc.max_send_message_length", 64 << 20)]
        self._channel = aio.insecure_channel(f"unix:{config.control_socket}", options=options)
        self.executions = control_pb2_grpc.ExecutionServiceStub(self._channel)
        self.savepoints = control_pb2_grpc.SavepointServiceStub(self._channel)
        self.flows = control_pb2_grpc.FlowServiceStub(self._channel)
        self.connections = control_pb2_grpc.ConnectionServiceStub(self._channel)
        self.system = control_pb2_grpc.SystemServiceStub(self._channel)
        self.retention = retention_pb2_grpc.RetentionServiceStub(self._channel)
        self.web = web_pb2_grpc.WebServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def run(self, script: str = SCRIPT, **fields: Any) -> tuple[str, FakeAgent]:
        """An execution whose flow has started, and its agent."""
        request = pb.CreateExecutionRequest(script=script, flow_name="flow.py", **fields)
        execution_id = (await self.executions.CreateExecution(request)).execution.id
        agent = await self.launcher.agent(execution_id)
        async with asyncio.timeout(10):
            await agent.started
        return execution_id, agent

    async def show(self, execution: str) -> types_pb2.Execution:
        return (await self.executions.GetExecution(pb.GetExecutionRequest(execution=execution))).execution

    async def status(self, execution: str) -> str:
        value = (await self.show(execution)).status
        return types_pb2.ExecutionStatus.Name(value).removeprefix("EXECUTION_STATUS_")

    async def ended(self, execution: str) -> types_pb2.Execution:
        """Once it has ended, its container included."""
        last = types_pb2.Execution()
        async with asyncio.timeout(20):
            async for response in self.executions.WatchExecution(pb.WatchExecutionRequest(execution=execution)):
                last = response.execution
            live = self.services.live.get(execution)
            if live is not None and live.cleaning is not None:
                await asyncio.gather(live.cleaning, return_exceptions=True)
        return last

    async def until(self, execution: str, status: str) -> None:
        wanted = types_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{status}")
        request = pb.WatchExecutionRequest(execution=execution, keep_open=True)
        async with asyncio.timeout(20):
            async for response in self.executions.WatchExecution(request):
                if response.execution.status == wanted:
                    return

    async def until_saved(self, execution: str) -> None:
        """Once it has a savepoint."""
        request = pb.WatchExecutionRequest(execution=execution, keep_open=True)
        async with asyncio.timeout(20):
            async for response in self.executions.WatchExecution(request):
                if response.execution.savepoint_count:
                    return

    async def load(self, execution: str, *, name: str = "", id: str = "", dry_run: bool = False) -> Any:  # noqa: A002
        selector = pb.SavepointSelector(name=name) if name else pb.SavepointSelector(id=id)
        request = pb.LoadSavepointRequest(execution=execution, savepoint=selector, dry_run=dry_run)
        return await self.savepoints.LoadSavepoint(request)

    async def undo(self, execution: str) -> pb.UndoLoadResponse:
        return await self.savepoints.UndoLoad(pb.UndoLoadRequest(execution=execution))

    async def pause(self, execution: str) -> None:
        await self.executions.PauseExecution(pb.PauseExecutionRequest(execution=execution))

    async def resume(self, execution: str) -> None:
        await self.executions.ResumeExecution(pb.ResumeExecutionRequest(execution=execution))

    async def cancel(self, execution: str) -> None:
        await self.executions.CancelExecution(pb.CancelExecutionRequest(execution=execution))

    async def delete(self, execution: str, *, force: bool) -> None:
        await self.executions.DeleteExecution(pb.DeleteExecutionRequest(execution=execution, force=force))

    async def create_savepoint(self, execution: str, name: str = "") -> types_pb2.Savepoint:
        request = pb.CreateSavepointRequest(execution=execution, name=name)
        return (await self.savepoints.CreateSavepoint(request)).savepoint

    async def list_savepoints(self, execution: str) -> list[types_pb2.Savepoint]:
        request = pb.ListSavepointsRequest(execution=execution)
        return list((await self.savepoints.ListSavepoints(request)).savepoints)

    async def log(self, execution: str, *, follow: bool = False) -> list[types_pb2.LogLine]:
        request = pb.ReadLogRequest(execution=execution, follow=follow)
        async with asyncio.timeout(20):
            return [line async for page in self.executions.ReadLog(request) for line in page.lines]


@asynccontextmanager
async def running_controller(
    data_dir: Path,
    *,
    connectors: dict[str, Callable[[], Connector]] | None = None,
    store: Callable[[ImageStore], ImageStore] = lambda store: store,
    launcher: FakeLauncher | None = None,
    **settings: Any,
) -> AsyncIterator[ControllerUnderTest]:
    """Served until the end of the block. launcher: of an earlier controller, whose containers go on."""
    config = Config(data_dir=data_dir, **settings)
    folder = DataDir(config)
    folder.open()
    url = sqlite_url(config.database)
    migrate(url)
    database = SqlDatabase(url)
    used = launcher or FakeLauncher(config.agent_socket)
    services = Services(
        config,
        database,
        store(LocalStore(config.store)),
        used,
        connectors or {},
        AgentTokens.from_file(config.data_dir / "agent.key"),
    )
    app = App(services)
    await app.start()
    under_test = ControllerUnderTest(config, services, used, app)
    try:
        yield under_test
    finally:
        await under_test.close()
        await app.stop()
        if launcher is None:
            await used.close()
        database.close()
        folder.close()
