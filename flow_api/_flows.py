"""Flows: scripts that were pushed under a name."""

from __future__ import annotations

from flow_api._channel import Channel
from flow_api._values import picked

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any


class Flow:
    """A pushed flow, which `this.flow(name)` starts."""

    __slots__ = ("_channel", "target")

    def __init__(self, channel: Channel, flow: str, by: str) -> None:
        self._channel = channel
        #: What calls name it by: {"name": its name} or {"id": the id of one version}.
        self.target = {by: flow}

    def __repr__(self) -> str:
        return f"<flow {self.target}>"

    def get(self, *fields: str) -> Any:
        """One field of this version, a tuple of several, or a dict of all. Raises ResourceNotFoundError.

        Fields: id, name, version, number (1, 2, 3... with each push), created_at, script, files (their paths).
        """
        return picked(self._channel.call("flow_get", self.target), fields)

    def load(self, *fields: str) -> Any:
        """As get: nothing is kept here."""
        return self.get(*fields)

    def exists(self) -> bool:
        """Whether there is one of that name."""
        return bool(self._channel.call("flow_exists", self.target))
