"""The controller as a whole: its parts put together, started and stopped."""

from __future__ import annotations

import asyncio
import logging

from controller.adoption import Adoption
from controller.agents import Agents
from controller.api.agent_service import AgentService
from controller.api.connection_service import ConnectionService
from controller.api.execution_service import ExecutionService
from controller.api.flow_service import FlowService
from controller.api.retention_service import RetentionService
from controller.api.savepoint_service import SavepointService
from controller.api.server import Servers
from controller.api.system_service import SystemService
from controller.calls import Calls
from controller.cancels import Cancels
from controller.children import Children
from controller.connections import Connections
from controller.containers import Containers
from controller.endings import Endings
from controller.errors import FlowsnapError
from controller.executions import Executions
from controller.exports import Exports
from controller.flow_calls.catalogue import CatalogueCalls
from controller.flow_calls.children import ChildCalls
from controller.flow_calls.connections import ConnectionCalls
from controller.flow_calls.dumps import DumpCalls
from controller.flow_calls.fields import FieldCalls
from controller.flow_calls.lifecycle import LifecycleCalls
from controller.flow_calls.savepoints import SavepointCalls
from controller.flows import Flows
from controller.forks import Forks
from controller.imports import Imports
from controller.inspections import Inspections
from controller.live import Live
from controller.loads import Loads
from controller.parking import Parking
from controller.pauses import Pauses
from controller.platform import Platform
from controller.recovery import Recovery
from controller.restores import Restores
from controller.retention import Retentions
from controller.retries import Retries
from controller.savepoints import Savepoints
from controller.secrets import SecretBox
from controller.services import Services
from controller.sessions import Sessions
from controller.tasks import Tasks
from controller.trial import Trial
from controller.undos import Undos
from controller.watching import Watching
from controller.web.parts import Parts

_log = logging.getLogger(__name__)


class App:
    """One controller on the ports it is given."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopping = asyncio.Event()
        self._stop_executions = False
        self._retentions = Retentions(services)
        savepoints = Savepoints(services, self._retentions)
        endings = Endings(services, savepoints)
        containers = Containers(services, endings)
        restores = Restores(services, savepoints, containers, endings)
        loads = Loads(services, savepoints, containers, endings, restores)
        recovery = Recovery(services, savepoints, containers, endings, restores)
        containers.when_lost(recovery.lost)
        retries = Retries(services, savepoints, endings, loads)
        endings.before_errors(retries.put_off)
        self._pauses = Pauses(services, endings, recovery)
        flows = Flows(services)
        executions = Executions(services, savepoints, containers, endings, flows)
        connections = Connections(services, SecretBox(services.config.secrets_key))
        self._tasks = Tasks(services, connections)
        children = Children(services, executions, self._tasks)
        cancels = Cancels(services, self._pauses, self._tasks)
        watching = Watching(services)
        inspections = Inspections(services)
        undos = Undos(services, savepoints, loads, endings)
        forks, sessions = Forks(services, savepoints, recovery), Sessions(services)
        web = Parts(
            services, sessions, executions, savepoints, loads, undos, self._pauses, cancels, flows, forks, inspections
        )
        trial = Trial(services, executions, savepoints, watching)
        self._platform = Platform(services, executions, flows, watching, connections, self._retentions, trial, web)
        handlers = {
            **FieldCalls(services).handlers(),
            **LifecycleCalls(services, endings, self._pauses, cancels).handlers(),
            **ChildCalls(services, children).handlers(),
            **CatalogueCalls(services, executions, flows).handlers(),
            **DumpCalls(services, savepoints, loads, endings, self._retentions).handlers(),
            **SavepointCalls(services, savepoints, loads).handlers(),
            **ConnectionCalls(connections).handlers(),
            **self._platform.handlers,
        }
        calls = Calls(services, handlers)
        self._parking = Parking(services, savepoints, endings, recovery, calls)
        self._adoption = Adoption(services, containers, endings, calls, recovery, retries, self._parking)
        self._imports = Imports(services)
        self._servers = Servers(
            AgentService(services.tokens, Agents(services, endings, recovery.lost), calls, savepoints),
            ExecutionService(executions, self._pauses, cancels, watching, forks),
            SavepointService(
                executions, savepoints, loads, undos, inspections, Exports(services, savepoints), self._imports
            ),
            FlowService(flows),
            ConnectionService(connections),
            SystemService(services, trial, self._retentions, self.shut_down),
            RetentionService(executions, self._retentions),
            self._platform.services,
        )

    async def start(self) -> None:
        """Serve, and see to what an earlier controller left. Raises Unavailable when a socket can't be made."""
        config = self._services.config
        # Before anything that would have to be undone: it is what most often fails.
        await self._platform.listen()
        await self._services.in_file(self._imports.sweep)
        adopted = await self._adoption.adopt()
        await self._tasks.recover()
        await self._servers.start(config.control_socket, config.agent_socket)
        self._adoption.begin(adopted)
        self._parking.start()
        self._platform.start()
        self._retentions.start()
        _log.info("ready on %s; %d executions to find again", config.control_socket, len(adopted))

    async def web_link(self) -> str:
        """Signs a browser in, once; empty where no HTTP is served."""
        return await self._platform.web_link()

    def shut_down(self, stop_executions: bool = False) -> None:
        """Ask serve() to return; containers go on unless stop_executions."""
        self._stop_executions = self._stop_executions or stop_executions
        self._stopping.set()

    async def serve(self) -> None:
        """Until shut_down, after start."""
        await self._stopping.wait()
        await self.stop()

    async def stop(self) -> None:
        """End the controller; executions are cancelled only where shut_down asked for it."""
        if self._stop_executions:
            await self._platform.start_nothing()
            await self._cancel_all()
        self._services.changes.close()
        await self._platform.stop()
        await self._servers.stop()
        await self._services.close()
        _log.info("ended")

    async def _cancel_all(self) -> None:
        """Those too that are begun meanwhile: by flows, webhooks and clients, which are served until the end."""
        cancelled: set[Live] = set()
        while found := set(self._services.live) - cancelled:
            cancelled |= found
            await asyncio.gather(*(self._cancel(live.execution_id) for live in found))

    async def _cancel(self, execution_id: str) -> None:
        live = self._services.live.get(execution_id)
        try:
            await self._pauses.cancel(execution_id, "the controller was shut down")
        except FlowsnapError as error:
            _log.info("execution %s: %s", execution_id, error)
        try:
            if live is not None:
                await live.cleaned_up()
        except FlowsnapError as error:
            _log.warning("%s", error)
