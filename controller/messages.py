"""Messages: texts and forms that executions send to people, who answer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controller.errors import FailedPrecondition, InvalidArgument, NotFound
from controller.flow_calls.call import CallFailed, FlowCall
from controller.form_checks import FormChecks
from controller.forms import Problem
from controller.ids import new_id
from controller.model import Filter, Json, Message, Status
from controller.ports import Database
from controller.services import Services
from controller.values import checked_json, packed, parsed
from controller.waits import time_limit, waiting

PAGE = 100
# What is told to those who watch for messages to come, be answered and go.
ANY_MESSAGE = "messages"
_ANSWERED_BY_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """What a message is made from: one of a text, a question for one text, or a form (a JSON schema)."""

    subject: str
    form: Any


class Messages:
    """Sent and waited for by flows; listed and answered by people."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._checks = FormChecks()

    async def send(self, call: FlowCall, draft: Draft) -> Message:
        """A call that is repeated finds the message it sent before. Raises InvalidArgument for a form that is none."""
        services = self._services
        await self._checks.check_form(draft.form)
        message = Message(
            id=new_id(),
            execution_id=call.execution_id,
            subject=draft.subject,
            body=packed(draft.form),
            created_at=services.clock.now(),
            origin=call.call.idempotency_key,
        )
        sent = await services.db(Database.add_message, message)
        services.changes.notify(ANY_MESSAGE)
        return sent

    async def wait(self, call: FlowCall, message_id: str, timeout_s: float | None) -> None:
        """Until it is answered. Raises CallFailed when that takes longer, NotFound when it is, or gets, deleted.

        A wait that goes on after a restart of the controller, or of the flow, keeps its end.
        """
        services = self._services
        with services.changes.watch(_topic(message_id)) as changed:
            if (await self.get(message_id)).answered_at is not None:
                return
            try:
                async with waiting(services, call, Status.WAITING_MESSAGE), time_limit(services, call, timeout_s):
                    while (await self.get(message_id)).answered_at is None:
                        await changed.wait()
                        changed.clear()
            except TimeoutError as error:
                raise CallFailed(
                    "MessageResponseTimeoutError", f"nobody answered message {message_id} within {timeout_s:g} s"
                ) from error

    async def get(self, message_id: str) -> Message:
        """Raises NotFound."""
        found = await self._services.db(Database.message, message_id)
        if found is None:
            raise _missing(message_id)
        return found

    async def list(self, where: Filter | None, page_token: str) -> tuple[Sequence[Message], str]:
        """Newest first, with the token of the next page, empty on the last."""
        found = await self._services.db(Database.messages, where, PAGE + 1, page_token)
        return found[:PAGE], found[PAGE - 1].id if len(found) > PAGE else ""

    async def open_count(self) -> int:
        """How many nobody answered yet."""
        return await self._services.read(Database.open_message_count)

    async def problems(self, message: Message, response: Any) -> Sequence[Problem]:
        """Why a response would be refused, field by field. Raises InvalidArgument for a form that can't be followed."""
        return await self._checks.problems(parsed(message.body), response, message.id)

    async def answer(self, message_id: str, response: Json, answered_by: str) -> Message:
        """Raises NotFound, InvalidArgument where the response does not meet the form, FailedPrecondition."""
        services = self._services
        message = await self.get(message_id)
        response = checked_json(response or b"{}", "the response", services.config.max_value_bytes)
        if len(answered_by) > _ANSWERED_BY_CHARACTERS or not (answered_by or "-").isprintable():
            raise InvalidArgument(f"name who answers in up to {_ANSWERED_BY_CHARACTERS} printable characters")
        if message.answered_at is None:
            await self._checks.check_response(parsed(message.body), parsed(response), message_id)
            now = services.clock.now()
            if await services.db(Database.answer_message, message_id, response, answered_by, now):
                services.changes.notify(_topic(message_id))
                services.changes.notify(ANY_MESSAGE)
                return await self.get(message_id)
            message = await self.get(message_id)
        by = f" by {message.answered_by}" if message.answered_by else ""
        at = message.answered_at.isoformat(" ", "seconds") if message.answered_at else "some time"
        raise FailedPrecondition(f"message {message_id} was answered{by} at {at}; it is answered once")

    async def delete(self, message_id: str) -> None:
        """Who waits for it gets an error. Raises NotFound."""
        if not await self._services.db(Database.delete_message, message_id):
            raise _missing(message_id)
        self._services.changes.notify(_topic(message_id))
        self._services.changes.notify(ANY_MESSAGE)


def _missing(message_id: str) -> NotFound:
    return NotFound(f"there is no message {message_id!r}; see `snapctl message ls`")


def _topic(message_id: str) -> str:
    return f"message {message_id}"
