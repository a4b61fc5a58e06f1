"""`system`: what lives outside the execution and stays as it is when a savepoint is loaded."""

from __future__ import annotations

from flow_api._channel import Channel
from flow_api._connections import Connection
from flow_api._execution import Execution
from flow_api._files import File
from flow_api._flows import Flow
from flow_api._listing import listed
from flow_api._messages import Message, send
from flow_api._record import ReturnWhen
from flow_api._settings import Setting

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class System:
    """The platform."""

    __slots__ = ("_channel",)

    #: What waits wait for: system.return_when.ALL_ENDED, for instance.
    return_when = ReturnWhen

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def get_env_name(self) -> str:
        """The name of this installation, as its operator chose it: "production", "test"."""
        return str(self._channel.call("env_name", {}))

    def flow(self, flow: str, by: str = "name") -> Flow:
        """A pushed flow: by "name" its newest version, by "id" the version of that id. Nothing is read yet."""
        return Flow(self._channel, flow, by)

    def flows(self, filter: dict[str, Any] | None = None) -> Iterator[Flow]:  # noqa: A002 - as scripts know it
        """All pushed flows, by name. filter: {"field": "name", "op": "like", "value": "report%"}."""
        for name in listed(self._channel, "flow_list", filter):
            yield Flow(self._channel, name, "name")

    def execution(self, execution_id: str) -> Execution:
        """An execution by id; nothing is read yet."""
        return Execution(self._channel, execution_id, {"id": execution_id})

    def executions(self, filter: dict[str, Any] | None = None) -> Iterator[Execution]:  # noqa: A002
        """All executions, newest first.

        filter: {"field": "status", "op": "eq", "value": "ENDED_ERROR"}. Fields: id, name, type, status, message,
        flow_name, flow_version, parent_id, created_at, started_at, ended_at; operators: eq, ne, lt, le, gt, ge, like
        (with % and _), in (a list).
        """
        for known in listed(self._channel, "execution_list", filter):
            yield Execution(self._channel, known["id"], known)

    def setting(self, name: str) -> Setting:
        """A setting by name; nothing is read yet."""
        return Setting(self._channel, name)

    def file(self, name: str) -> File:
        """A file by name; nothing is read yet."""
        return File(self._channel, name)

    def connection(self, name: str) -> Connection:
        """A connection by name; nothing is read yet."""
        return Connection(self._channel, name)

    def settings(self, filter: dict[str, Any] | None = None) -> Iterator[Setting]:  # noqa: A002 - the reference's name
        """All settings by name: filter={"field": "name", "op": "like", "value": "mail-%"}; op: eq, ne, lt, le, gt, ge,
        like, in. Fields: name, size_bytes, created_at, modified_at, locked_by.
        """
        for name in listed(self._channel, "setting_list", filter):
            yield Setting(self._channel, name)

    def files(self, filter: dict[str, Any] | None = None) -> Iterator[File]:  # noqa: A002 - the reference's name
        """All files by name, with a filter as in settings(). Fields: name, size_bytes, created_at, modified_at."""
        for name in listed(self._channel, "file_list", filter):
            yield File(self._channel, name)

    def message(
        self,
        subject: str,
        *,
        message: str | dict[str, Any] | None = None,
        request: str | None = None,
        body: dict[str, Any] | None = None,
    ) -> Message:
        """Send people a text (message), ask for one text (request), or hand them a form (body, a JSON schema).

        Goes on at once: .wait() waits for the answer, .get("response") has it. The answer to a request stands under
        the key "string".
        """
        return send(self._channel, subject, message, request, body)

    def messages(self, filter: dict[str, Any] | None = None) -> Iterator[Message]:  # noqa: A002 - the reference's name
        """All messages, newest first, with a filter as in settings(). Fields: id, subject, execution_id, status
        (OPEN, ANSWERED), created_at, answered_at, answered_by.
        """
        for found in listed(self._channel, "message_list", filter):
            yield Message(self._channel, found)
