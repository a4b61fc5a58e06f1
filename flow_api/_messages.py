"""Messages: texts and forms for people, who answer them."""

from __future__ import annotations

from flow_api._channel import Channel
from flow_api._values import picked

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any


class Message:
    """A message that was sent; it stays as it is when a savepoint is loaded."""

    __slots__ = ("_channel", "id")

    def __init__(self, channel: Channel, id: str) -> None:  # noqa: A002 - what it is called everywhere
        self._channel = channel
        self.id = id

    def __repr__(self) -> str:
        return f"<message {self.id}>"

    def get(self, *fields: str) -> Any:
        """One field, a tuple of several, or a dict of all. Raises ResourceNotFoundError.

        Fields: id, subject, body (a JSON schema), status ("OPEN" or "ANSWERED"), response (a dict; None while it is
        open), answered_by, answered_at, created_at, execution_id.
        """
        return picked(self._channel.call("message_get", {"id": self.id, "fields": list(fields)}), fields)

    def load(self, *fields: str) -> Any:
        """As get: nothing of a message is kept here."""
        return self.get(*fields)

    def wait(self, timeout: float | None = None) -> Message:
        """Until somebody answers; at once when somebody has.

        Raises MessageResponseTimeoutError after timeout seconds; None waits without an end. The message stays open.
        """
        self._channel.call("message_wait", {"id": self.id, "timeout": timeout})
        return self

    def delete(self) -> None:
        """Raises ResourceNotFoundError."""
        self._channel.call("message_delete", {"id": self.id})


def send(
    channel: Channel, subject: str, message: str | dict[str, Any] | None, request: str | None, body: Any
) -> Message:
    """What system.message does."""
    if isinstance(message, dict) and body is None:
        message, body = None, message
    arguments = {"subject": subject, "message": message, "request": request, "body": body}
    return Message(channel, channel.call("message_send", arguments))
