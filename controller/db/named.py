"""Records of connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, bindparam, delete, select

from controller.db.engine import Transactions
from controller.db.schema import connections
from controller.db.upsert import insert_or_replace
from controller.model import Connection

_SELECT_CONNECTIONS = select(
    connections.c.name,
    connections.c.connector_type,
    connections.c.value,
    connections.c.secrets,
    connections.c.saved_by,
).order_by(connections.c.name)
_SELECT_CONNECTION = _SELECT_CONNECTIONS.where(connections.c.name == bindparam("key"))


class NamedRecords(Transactions):
    """Saving replaces; deleting says with False that there was none."""

    def save_connection(self, connection: Connection) -> None:
        self._replace(
            connections,
            {
                "name": connection.name,
                "connector_type": connection.connector_type,
                "value": connection.value,
                "secrets": connection.secrets,
                "saved_by": connection.saved_by,
            },
        )

    def connection(self, name: str) -> Connection | None:
        with self._reading() as connection:
            row = connection.execute(_SELECT_CONNECTION, {"key": name}).first()
        return None if row is None else Connection(*row)

    def connections(self) -> Sequence[Connection]:
        """By name."""
        with self._reading() as connection:
            return [Connection(*row) for row in connection.execute(_SELECT_CONNECTIONS)]

    def delete_connection(self, name: str) -> bool:
        return self._delete(connections, name)

    def _replace(self, table: Table, values: dict[str, Any]) -> None:
        with self._writing() as connection:
            connection.execute(insert_or_replace(connection.dialect.name, table), values)

    def _delete(self, table: Table, name: str) -> bool:
        with self._writing() as connection:
            return connection.execute(delete(table).where(table.c.name == name)).rowcount == 1
