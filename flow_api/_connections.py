"""Connections: named connector configurations outside the execution."""

from __future__ import annotations

from flow_api._channel import Channel
from flow_api._values import picked

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any


class Connection:
    """A named connector configuration, which `this.connect(name)` uses."""

    __slots__ = ("_channel", "name")

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel = channel
        self.name = name

    def __repr__(self) -> str:
        return f"<connection {self.name!r}>"

    def get(self, *fields: str) -> Any:
        """One of name, connection_type and value, a tuple of several, or a dict of all; secrets are masked.

        Raises ResourceNotFoundError.
        """
        return picked(self._channel.call("connection_get", {"name": self.name}), fields)

    def load(self, *fields: str) -> Any:
        """As get: nothing of a connection is kept here."""
        return self.get(*fields)

    def save(
        self, connection_type: str, value: dict[str, Any] | None = None, secrets: dict[str, Any] | None = None
    ) -> Connection:
        """Create or replace. Secrets are encrypted and never come back; so are fields of the value such as password.

        Raises InvalidInputError for an unknown type, and for inputs that the type does not know; PermissionDenied where
        an operator saved it. What a flow saves can't lead to the controller's own host.
        """
        arguments = {"name": self.name, "connection_type": connection_type, "value": value, "secrets": secrets}
        self._channel.call("connection_save", arguments)
        return self

    def exists(self) -> bool:
        """Whether there is one of that name."""
        return bool(self._channel.call("connection_exists", {"name": self.name}))

    def delete(self) -> None:
        """Raises ResourceNotFoundError; PermissionDenied where an operator saved it."""
        self._channel.call("connection_delete", {"name": self.name})
