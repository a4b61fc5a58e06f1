"""connect: third-party systems, reached by the controller on behalf of a flow."""

from __future__ import annotations

from typing import Any

from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.model import Status
from controller.ports import Connector, Database
from controller.services import Services
from controller.values import parsed


class ConnectCalls:
    """Runs connectors. What a connector refuses is raised in the flow by the error type that it names."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._made: dict[str, Connector] = {}

    def handlers(self) -> dict[str, Handler]:
        return {"connect": self.connect}

    async def connect(self, call: FlowCall) -> dict[str, Any]:
        connector_type, connector, inputs = await self._inputs(call)
        started_at = self._services.clock.now()
        output = await connector.call(inputs, idempotency_key=call.call.idempotency_key)
        return {
            "output_value": output,
            "input_value": call.args.get("inputs") or {},
            "status": Status.ENDED_SUCCESS.value,
            "message": "",
            "type": "CONNECTION",
            "connector_type": connector_type,
            "name": call.args.get("connection") or connector_type,
            "started_at": started_at.isoformat(),
            "ended_at": self._services.clock.now().isoformat(),
        }

    def _connector(self, connector_type: str) -> Connector:
        """Made with its first use: each imports much."""
        connectors = self._services.connectors
        if connector_type not in connectors:
            raise CallFailed(
                "ResourceNotFoundError",
                f"connect: there is no connector type {connector_type!r}; there are {', '.join(sorted(connectors))}",
            )
        connector = self._made.get(connector_type)
        if connector is None:
            connector = self._made[connector_type] = connectors[connector_type]()
        return connector

    async def _inputs(self, call: FlowCall) -> tuple[str, Connector, dict[str, Any]]:
        """The connector's type, it, and the connection's value overlaid with the call's keywords."""
        inputs = call.mapping("inputs") if call.args.get("inputs") is not None else {}
        name, connector_type = call.text("connection", default=""), call.text("connector_type", default="")
        if not name and not connector_type:
            raise CallFailed("MissingInputError", "connect: name a connection, or give a connector_type")
        if not name:
            connector = self._connector(connector_type)
            return connector_type, connector, await connector.without_connection(inputs)
        connection = await self._services.db(Database.connection, name)
        if connection is None:
            raise CallFailed(
                "ResourceNotFoundError",
                f"connect: there is no connection {name!r}; make it with `snapctl connection save`",
            )
        if connector_type and connector_type != connection.connector_type:
            raise call.invalid(
                f"the connection {name!r} is of type {connection.connector_type!r}, not {connector_type!r}"
            )
        connector = self._connector(connection.connector_type)
        if chosen := sorted(connector.places & inputs.keys()):
            raise call.invalid(
                f"where the connection {name!r} leads is its own business: leave out {', '.join(chosen)}"
            )
        return connection.connector_type, connector, {**parsed(connection.value), **inputs}
