"""message_*: what a flow asks of people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.forms import request_form, text_form
from controller.messages import Draft, Messages
from controller.model import Message
from controller.values import parsed

_SUBJECT_CHARACTERS = 1000
_FIELDS: Mapping[str, Callable[[Message], Any]] = {
    "id": lambda message: message.id,
    "subject": lambda message: message.subject,
    "body": lambda message: parsed(message.body),
    "status": lambda message: "OPEN" if message.answered_at is None else "ANSWERED",
    "response": lambda message: None if message.response is None else parsed(message.response),
    "answered_by": lambda message: message.answered_by,
    "answered_at": lambda message: None if message.answered_at is None else message.answered_at.isoformat(),
    "created_at": lambda message: message.created_at.isoformat(),
    "execution_id": lambda message: message.execution_id,
}


class MessageCalls:
    """Messages; a load of a savepoint leaves them as they are."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def handlers(self) -> dict[str, Handler]:
        return {
            "message_send": self.send,
            "message_get": self.get,
            "message_wait": self.wait,
            "message_list": self.list,
            "message_delete": self.delete,
        }

    async def send(self, call: FlowCall) -> str:
        subject = call.text("subject")
        if not 1 <= len(subject) <= _SUBJECT_CHARACTERS:
            raise call.invalid(f"the subject has {len(subject)} characters; give it 1 to {_SUBJECT_CHARACTERS}")
        return (await self._messages.send(call, Draft(subject, _form(call)))).id

    async def get(self, call: FlowCall) -> dict[str, Any]:
        names = call.items("fields") or list(_FIELDS)
        unknown = [name for name in names if not isinstance(name, str) or name not in _FIELDS]
        if unknown:
            raise call.invalid(f"there is no field {unknown[0]!r}; there are {', '.join(_FIELDS)}")
        message = await self._messages.get(call.name("id"))
        return {name: _FIELDS[name](message) for name in names}

    async def wait(self, call: FlowCall) -> None:
        await self._messages.wait(call, call.name("id"), call.seconds("timeout"))

    async def list(self, call: FlowCall) -> dict[str, Any]:
        found, following = await self._messages.list(call.filter(), call.text("after", default=""))
        return {"records": [message.id for message in found], "next": following}

    async def delete(self, call: FlowCall) -> None:
        await self._messages.delete(call.name("id"))


def _form(call: FlowCall) -> Any:
    given = [name for name in ("message", "request", "body") if call.args.get(name) is not None]
    if len(given) != 1:
        kind = "ExtraInputError" if given else "MissingInputError"
        raise CallFailed(kind, "message: give one of message (a text), request (a question) and body (a form)")
    if given == ["message"]:
        return text_form(call.text("message"))
    if given == ["request"]:
        return request_form(call.text("request"))
    return call.args["body"]
