"""Connections: named connector configurations that flows use by name."""

from __future__ import annotations

from collections.abc import Sequence

from controller.errors import InvalidArgument, NotFound
from controller.model import Connection
from controller.ports import Database
from controller.services import Services
from controller.values import checked_json, checked_name, parsed


class Connections:
    """Saved, listed and deleted by operators."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def save(self, connection: Connection) -> None:
        """Create or replace. Raises InvalidArgument for an unknown type or a value that is no JSON object."""
        checked_name(connection.name, "the connection's name")
        known = self._services.connectors
        if connection.connector_type not in known:
            raise InvalidArgument(
                f"connection {connection.name!r}: there is no connector type {connection.connector_type!r}; there are"
                f" {', '.join(sorted(known))}"
            )
        value = connection.value or b"{}"
        checked_json(value, f"the value of connection {connection.name!r}", self._services.config.max_value_bytes)
        if not isinstance(parsed(value), dict):
            raise InvalidArgument(f"connection {connection.name!r}: its value is no JSON object")
        await self._services.db(Database.save_connection, Connection(connection.name, connection.connector_type, value))

    async def list(self) -> Sequence[Connection]:
        """By name, secrets and all."""
        return await self._services.db(Database.connections)

    async def delete(self, name: str) -> None:
        """Raises NotFound."""
        if not await self._services.db(Database.delete_connection, name):
            raise NotFound(f"there is no connection {name!r}; list the connections")
