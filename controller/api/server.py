"""The two gRPC servers: one for clients, one for agents, each on a unix socket of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flowsnap.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    control_pb2,
    control_pb2_grpc,
    platform_pb2,
    retention_pb2,
    retention_pb2_grpc,
    web_pb2,
)
from google.protobuf.descriptor import FileDescriptor
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from controller.api.agent_service import AgentService
from controller.api.codes import ErrorCodes
from controller.api.connection_service import ConnectionService
from controller.api.execution_service import ExecutionService
from controller.api.flow_service import FlowService
from controller.api.platform import PlatformServices
from controller.api.retention_service import RetentionService
from controller.api.savepoint_service import SavepointService
from controller.api.system_service import SystemService
from controller.errors import Unavailable

MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
)
# Requests of clients may end in this time, a load for instance; agents ask the next controller again anyway.
_CLIENT_GRACE_S = 5.0
_AGENT_GRACE_S = 0.2


class Servers:
    """Both of them, started and stopped together."""

    def __init__(
        self,
        agents: AgentService,
        executions: ExecutionService,
        savepoints: SavepointService,
        flows: FlowService,
        connections: ConnectionService,
        system: SystemService,
        retention: RetentionService,
        platform: PlatformServices,
    ) -> None:
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # its stubs forget it
        self._agent = _new_server()
        agent_pb2_grpc.add_AgentServiceServicer_to_server(agents, self._agent)
        self._control = _new_server()
        control_pb2_grpc.add_ExecutionServiceServicer_to_server(executions, self._control)
        control_pb2_grpc.add_SavepointServiceServicer_to_server(savepoints, self._control)
        control_pb2_grpc.add_FlowServiceServicer_to_server(flows, self._control)
        control_pb2_grpc.add_ConnectionServiceServicer_to_server(connections, self._control)
        control_pb2_grpc.add_SystemServiceServicer_to_server(system, self._control)
        retention_pb2_grpc.add_RetentionServiceServicer_to_server(retention, self._control)
        platform.add_to(self._control)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._control)
        names = [*_CONTROL_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._control)

    async def start(self, control_socket: Path, agent_socket: Path) -> None:
        """Listen. Raises Unavailable when a socket can't be made."""
        _bind(self._agent, agent_socket, 0o666)
        _bind(self._control, control_socket, 0o600)
        await self._agent.start()
        await self._control.start()
        for name in ("", *_CONTROL_NAMES, *_service_names(agent_pb2.DESCRIPTOR)):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Clients first: what they asked for may need the agents."""
        await self._health.enter_graceful_shutdown()
        await self._control.stop(_CLIENT_GRACE_S)
        await self._agent.stop(_AGENT_GRACE_S)
        await asyncio.gather(self._control.wait_for_termination(), self._agent.wait_for_termination())


def _new_server() -> aio.Server:
    return aio.server(interceptors=[ErrorCodes()], options=_OPTIONS)


def _bind(server: aio.Server, socket: Path, mode: int) -> None:
    try:
        server.add_insecure_port(f"unix:{socket}")
        socket.chmod(mode)
    except (RuntimeError, OSError) as error:
        raise Unavailable(f"the socket {socket} can't be made: {error}; check its folder") from error


def _service_names(file: FileDescriptor) -> list[str]:
    return [service.full_name for service in file.services_by_name.values()]


_CONTROL_NAMES = [
    name for file in (control_pb2, platform_pb2, retention_pb2, web_pb2) for name in _service_names(file.DESCRIPTOR)
]
