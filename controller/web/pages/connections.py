"""/connections: what flows reach by name; secrets go in and never come out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from controller.errors import AlreadyExists, FlowsnapError
from controller.model import Connection
from controller.ports import Connector
from controller.values import packed, parsed
from controller.web.connection_form import fields_of, read
from controller.web.forms import field
from controller.web.parts import PlatformParts
from controller.web.rendering import page, part, went


class ConnectionsPage:
    """The list, and one of them."""

    def __init__(self, platform: PlatformParts) -> None:
        self._connections = platform.connections

    def routes(self) -> list[Route]:
        return [
            Route("/connections", self._list),
            Route("/connections/new", self._new),
            Route("/connections/one", self._show),
            Route("/connections/save", self._save, methods=["POST"]),
            Route("/connections/test", self._test, methods=["POST"]),
            Route("/connections/delete", self._delete, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        found = [(one, self._leads(one)) for one in await self._connections.list()]
        return page(request, "connections.html", connections=found)

    async def _new(self, request: Request) -> Response:
        """?type=TYPE"""
        connector_type = request.query_params.get("type", "")
        if not connector_type:
            return page(request, "connection_types.html", types=self._connections.types())
        connector = self._connections.connector(connector_type)
        return self._form(request, connector_type, connector, None)

    async def _show(self, request: Request) -> Response:
        """?name=NAME&saved=1, where it was just now"""
        connection = await self._connections.show(request.query_params.get("name", ""))
        connector = self._connections.connector(connection.connector_type)
        return self._form(request, connection.connector_type, connector, connection)

    def _form(
        self, request: Request, connector_type: str, connector: Connector, connection: Connection | None
    ) -> Response:
        value = parsed(connection.value) if connection else {}
        secrets = parsed(connection.secrets) if connection else {}
        fields = fields_of(connector.inputs, value, secrets.keys())
        return page(
            request,
            "connection.html",
            connection=connection,
            connector_type=connector_type,
            summary=connector.summary,
            main=[one for one in fields if one.main],
            others=[one for one in fields if not one.main],
            unreadable="?" in secrets,
        )

    async def _save(self, request: Request) -> Response:
        """Form: name, type, inputs as v-NAME, secrets to be forgotten as forget-NAME; new: there must not be one."""
        name, connector_type = field(request, "name").strip(), field(request, "type")
        saved: Sequence[str] = ()
        if field(request, "new"):
            if await self._connections.exists(name):
                raise AlreadyExists(f"there is a connection {name!r} already; change that one, or choose another name")
        else:
            saved = [one for one in parsed((await self._connections.show(name)).secrets) if one != "?"]
        inputs, keep = read(self._connections.connector(connector_type).inputs, request.state.form, saved)
        await self._connections.save(name, connector_type, packed(inputs), keep=keep)
        return went(request, f"/connections/one?name={_quoted(name)}&saved=1")

    async def _test(self, request: Request) -> Response:
        """?name=NAME"""
        started, words = time.monotonic(), ""
        try:
            await self._connections.test(request.query_params.get("name", ""))
        except FlowsnapError as error:
            words = str(error)
        took_us = round((time.monotonic() - started) * 1e6)
        return HTMLResponse(part(request, "connection_test.html", words=words, took_us=took_us))

    async def _delete(self, request: Request) -> Response:
        """?name=NAME"""
        await self._connections.delete(request.query_params.get("name", ""))
        return went(request, "/connections")

    def _leads(self, connection: Connection) -> str:
        """Its places, as people may see them; empty where its type is not there any more."""
        value: dict[str, Any] = parsed(connection.value)
        try:
            places = self._connections.connector(connection.connector_type).places
        except FlowsnapError:
            return ""
        return ", ".join(str(value[name]) for name in places if name in value and not isinstance(value[name], bool))


def _quoted(name: str) -> str:
    return quote(name, safe="")
