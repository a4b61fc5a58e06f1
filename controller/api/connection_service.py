"""ConnectionService: connections for clients; secrets go in and never come out."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

import time
from typing import Any

from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import control_pb2_grpc, types_pb2
from grpc import aio

from controller.connections import Connections
from controller.model import Connection
from controller.ports import Connector
from controller.values import packed

Context = aio.ServicerContext[Any, Any]


class ConnectionService(control_pb2_grpc.ConnectionServiceServicer):
    """One method per RPC of flowsnap.v1.ConnectionService."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def SaveConnection(self, request: pb.SaveConnectionRequest, context: Context) -> pb.SaveConnectionResponse:
        given = request.connection
        await self._connections.save(given.name, given.connector_type, given.value_json, given.secrets_json)
        return pb.SaveConnectionResponse()

    async def ListConnections(self, request: pb.ListConnectionsRequest, context: Context) -> pb.ListConnectionsResponse:
        return pb.ListConnectionsResponse(connections=map(_connection, await self._connections.list()))

    async def GetConnection(self, request: pb.GetConnectionRequest, context: Context) -> pb.GetConnectionResponse:
        return pb.GetConnectionResponse(connection=_connection(await self._connections.show(request.name)))

    async def DeleteConnection(
        self, request: pb.DeleteConnectionRequest, context: Context
    ) -> pb.DeleteConnectionResponse:
        await self._connections.delete(request.name)
        return pb.DeleteConnectionResponse()

    async def TestConnection(self, request: pb.TestConnectionRequest, context: Context) -> pb.TestConnectionResponse:
        started = time.monotonic()
        await self._connections.test(request.name)
        return pb.TestConnectionResponse(duration_us=round((time.monotonic() - started) * 1e6))

    async def ListConnectorTypes(
        self, request: pb.ListConnectorTypesRequest, context: Context
    ) -> pb.ListConnectorTypesResponse:
        return pb.ListConnectorTypesResponse(types=[_type(name, made) for name, made in self._connections.types()])

    async def RotateSecretsKey(
        self, request: pb.RotateSecretsKeyRequest, context: Context
    ) -> pb.RotateSecretsKeyResponse:
        return pb.RotateSecretsKeyResponse(connections=await self._connections.rotate())


def _connection(connection: Connection) -> types_pb2.Connection:
    return types_pb2.Connection(
        name=connection.name,
        connector_type=connection.connector_type,
        value_json=connection.value,
        secrets_json=connection.secrets,
        saved_by=connection.saved_by,
    )


def _type(name: str, connector: Connector) -> types_pb2.ConnectorType:
    return types_pb2.ConnectorType(
        name=name,
        summary=connector.summary,
        inputs=[
            types_pb2.ConnectorInput(
                name=input_name,
                type=declaration.type_name,
                required=declaration.required,
                secret=declaration.secret,
                place=declaration.place,
                default_json=b"" if declaration.default is None else packed(declaration.default),
                choices=declaration.choices,
                help=declaration.help,
            )
            for input_name, declaration in connector.inputs.items()
        ],
    )
