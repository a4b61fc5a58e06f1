"""What this.connect reaches, by connection type; each is imported with its first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from controller.connectors.errors import ConnectorError, invalid
from controller.connectors.secrets import mask

if TYPE_CHECKING:
    from controller.ports import Connector

__all__ = ["CONNECTORS", "ConnectorError", "connector", "mask"]


def _rest() -> Connector:
    from controller.connectors.rest import RestConnector

    return RestConnector()


def _sqlite() -> Connector:
    from controller.connectors.sqlite import SqliteConnector

    return SqliteConnector()


CONNECTORS: dict[str, Callable[[], Connector]] = {"REST": _rest, "SQLITE": _sqlite}


def connector(connector_type: str) -> Connector:
    """The connector of a type. Raises ConnectorError (InvalidInputError) for an unknown one."""
    factory = CONNECTORS.get(connector_type)
    if factory is None:
        raise invalid(f"connection type {connector_type!r} is unknown; known are {', '.join(sorted(CONNECTORS))}")
    return factory()
