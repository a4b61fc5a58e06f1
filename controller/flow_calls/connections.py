"""connection_*: named connector configurations, as flows see them; secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from controller.connections import Connections
from controller.flow_calls.call import FlowCall, Handler
from controller.redaction import MASK
from controller.values import packed, parsed


class ConnectionCalls:
    """Connections; a load of a savepoint leaves them as they are."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def handlers(self) -> dict[str, Handler]:
        return {
            "connection_get": self.get,
            "connection_save": self.save,
            "connection_exists": self.exists,
            "connection_delete": self.delete,
        }

    async def get(self, call: FlowCall) -> dict[str, Any]:
        found = await self._connections.show(call.name())
        secrets = dict.fromkeys(parsed(found.secrets), MASK)
        return {
            "name": found.name,
            "connection_type": found.connector_type,
            "value": {**parsed(found.value), **secrets},
        }

    async def save(self, call: FlowCall) -> None:
        name, connection_type = call.name(), call.text("connection_type")
        value, secrets = (
            packed(call.mapping(part)) if call.args.get(part) is not None else b"" for part in ("value", "secrets")
        )
        await self._connections.save(name, connection_type, value, secrets, saved_by=call.execution_id)

    async def exists(self, call: FlowCall) -> bool:
        return await self._connections.exists(call.name())

    async def delete(self, call: FlowCall) -> None:
        await self._connections.delete(call.name(), by=call.execution_id)
