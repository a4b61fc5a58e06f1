"""/messages: what executions ask of people, as forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from controller.errors import FailedPrecondition, FlowsnapError
from controller.model import Filter, Message
from controller.ports import Database
from controller.values import packed, parsed
from controller.web import schema_form
from controller.web.forms import field
from controller.web.parts import Parts, PlatformParts
from controller.web.rendering import page, part, status_of, went
from controller.web.schema_form import Typed
from controller.web.words import pretty


@dataclass(frozen=True, slots=True)
class Tried:
    """An answer that was typed, and what stands against it: at fields by their names, and in general."""

    typed: Typed
    at_fields: Mapping[str, str]
    words: Sequence[str]
    answered_by: str = ""


class MessagesPage:
    """The list, and one of them with its form."""

    def __init__(self, parts: Parts, platform: PlatformParts) -> None:
        self._services = parts.services
        self._messages = platform.messages

    def routes(self) -> list[Route]:
        return [
            Route("/messages", self._list),
            Route("/messages/badge", self._badge),
            Route("/messages/one", self._show),
            Route("/messages/one", self._answer, methods=["POST"]),
            Route("/messages/delete", self._delete, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        """?status=answered&after=ID"""
        answered = request.query_params.get("status") == "answered"
        where = Filter("status", "eq", "ANSWERED" if answered else "OPEN")
        messages, following = await self._messages.list(where, request.query_params.get("after", ""))
        ids = sorted({message.execution_id for message in messages})
        executions = {one.id: one for one in await self._services.read(Database.executions, ids)}
        return page(
            request,
            "messages.html",
            messages=messages,
            executions=executions,
            following=following,
            answered=answered,
            open_count=await self._messages.open_count(),
        )

    async def _badge(self, request: Request) -> Response:
        return page(request, "messages_badge.html", count=await self._messages.open_count())

    async def _show(self, request: Request) -> Response:
        """?id=ID"""
        return await self._form(request, await self._messages.get(request.query_params.get("id", "")), None)

    async def _answer(self, request: Request) -> Response:
        """?id=ID; form: the fields of its schema, answered_by."""
        message = await self._messages.get(request.query_params.get("id", ""))
        fields = schema_form.fields_of(parsed(message.body))
        typed: dict[str, list[str]] = {one.name: [] for one in schema_form.flat(fields)}
        for name, text in request.state.form:
            if name in typed:
                typed[name].append(text.replace("\r\n", "\n"))
        by = field(request, "answered_by").strip()
        response, at_fields = schema_form.read(fields, typed)
        words: Sequence[str] = ()
        try:
            if not at_fields:
                at_fields, words = schema_form.by_field(fields, await self._messages.problems(message, response))
            if not at_fields and not words:
                await self._messages.answer(message.id, packed(response), by)
                return went(request, f"/messages/one?id={message.id}")
        except FailedPrecondition as error:
            return await self._form(request, await self._messages.get(message.id), None, str(error), 409)
        except FlowsnapError as error:
            tried = Tried(typed, at_fields, [str(error)], by)
            return await self._form(request, message, tried, status=status_of(error))
        return await self._form(request, message, Tried(typed, at_fields, words, by), status=400)

    async def _form(
        self, request: Request, message: Message, tried: Tried | None, refusal: str = "", status: int = 200
    ) -> Response:
        fields = schema_form.fields_of(parsed(message.body))
        found = await self._services.read(Database.executions, [message.execution_id])
        shown = tried or Tried(schema_form.initial(fields), {}, ())
        return page(
            request,
            "message.html",
            status=status,
            message=message,
            execution=found[0] if found else None,
            fields=fields,
            tried=shown,
            refusal=refusal,
            buttons=[one for one in fields if one.kind == "submit"],
            response=pretty(message.response) if message.response is not None else None,
            schema=pretty(message.body),
        )

    async def _delete(self, request: Request) -> Response:
        """?id=ID"""
        await self._messages.delete(request.query_params.get("id", ""))
        if request.query_params.get("back"):
            return went(request, "/messages")
        return HTMLResponse(
            part(request, "toast.html", words="Message deleted", refusals=()), headers={"HX-Trigger": "changed"}
        )
