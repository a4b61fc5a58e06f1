"""ConnectionService: connections for clients; secrets go in and never come out."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from typing import Any

from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import control_pb2_grpc, types_pb2
from grpc import aio

from controller.connections import Connections
from controller.connectors import mask
from controller.model import Connection
from controller.values import packed, parsed

Context = aio.ServicerContext[Any, Any]


class ConnectionService(control_pb2_grpc.ConnectionServiceServicer):
    """One method per RPC of flowsnap.v1.ConnectionService."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def SaveConnection(self, request: pb.SaveConnectionRequest, context: Context) -> pb.SaveConnectionResponse:
        given = request.connection
        await self._connections.save(Connection(given.name, given.connector_type, given.value_json))
        return pb.SaveConnectionResponse()

    async def ListConnections(self, request: pb.ListConnectionsRequest, context: Context) -> pb.ListConnectionsResponse:
        return pb.ListConnectionsResponse(connections=map(_masked, await self._connections.list()))

    async def DeleteConnection(
        self, request: pb.DeleteConnectionRequest, context: Context
    ) -> pb.DeleteConnectionResponse:
        await self._connections.delete(request.name)
        return pb.DeleteConnectionResponse()


def _masked(connection: Connection) -> types_pb2.Connection:
    value = packed(mask(parsed(connection.value)))
    return types_pb2.Connection(name=connection.name, connector_type=connection.connector_type, value_json=value)
