"""/webhooks: flows that start for an HTTP request; a key is shown once."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from controller.errors import AlreadyExists, InvalidArgument
from controller.model import Webhook
from controller.values import parsed
from controller.web.forms import field
from controller.web.parts import Parts, PlatformParts
from controller.web.rendering import page, part, went
from controller.web.webhooks import PATH, answered
from controller.webhooks import DEFAULT_TIMEOUT_S, NewWebhook

_FLOWS_LISTED = 1000
_SHOWN_CHARACTERS = 20_000


class WebhooksPage:
    """The list, and one of them."""

    def __init__(self, parts: Parts, platform: PlatformParts) -> None:
        self._flows = parts.flows
        self._webhooks = platform.webhooks
        self._base = platform.address

    def routes(self) -> list[Route]:
        return [
            Route("/webhooks", self._list),
            Route("/webhooks/new", self._new),
            Route("/webhooks/one", self._show),
            Route("/webhooks/save", self._save, methods=["POST"]),
            Route("/webhooks/key", self._new_key, methods=["POST"]),
            Route("/webhooks/test", self._test, methods=["POST"]),
            Route("/webhooks/delete", self._delete, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        return page(request, "webhooks.html", webhooks=await self._webhooks.list(), address=self._address)

    async def _new(self, request: Request) -> Response:
        return await self._form(request, None)

    async def _show(self, request: Request) -> Response:
        """?name=NAME"""
        return await self._form(request, await self._webhooks.get(request.query_params.get("name", "")))

    async def _form(self, request: Request, webhook: Webhook | None, key: str = "") -> Response:
        releases = await self._flows.list(None, _FLOWS_LISTED, "")
        return page(
            request,
            "webhook.html",
            webhook=webhook,
            flows=[release.name for release in releases],
            address=self._address(webhook.name) if webhook else "",
            timeout_s=webhook.timeout_s if webhook else DEFAULT_TIMEOUT_S,
            key=key,
        )

    async def _save(self, request: Request) -> Response:
        """Form: name, flow or script, synchronous, timeout; new where there must not be one yet."""
        name, timeout = field(request, "name").strip(), field(request, "timeout").strip() or "0"
        if not (timeout.isascii() and timeout.isdigit() and len(timeout) < 10):  # noqa: PLR2004 - an int of the contract
            raise InvalidArgument(f"the timeout {timeout!r} is no whole number of seconds")
        if field(request, "new") and any(one.name == name for one in await self._webhooks.list()):
            raise AlreadyExists(f"there is a webhook {name!r} already; change that one, or choose another name")
        new = NewWebhook(
            name=name,
            flow_name=field(request, "flow").strip(),
            script=field(request, "script"),
            synchronous=bool(field(request, "synchronous")),
            timeout_s=int(timeout),
            new_key=False,
        )
        webhook, key = await self._webhooks.save(new)
        return await self._form(request, webhook, key) if key else went(request, "/webhooks")

    async def _new_key(self, request: Request) -> Response:
        """?name=NAME"""
        webhook = await self._webhooks.get(request.query_params.get("name", ""))
        webhook, key = await self._webhooks.save(
            NewWebhook(
                name=webhook.name,
                flow_name=webhook.flow_name,
                script=webhook.script,
                synchronous=webhook.synchronous,
                timeout_s=webhook.timeout_s,
                new_key=True,
            )
        )
        return await self._form(request, webhook, key)

    async def _test(self, request: Request) -> Response:
        """?name=NAME; form: json. As a request with the key would, without the key."""
        webhook = await self._webhooks.get(request.query_params.get("name", ""))
        body = field(request, "json").strip()
        given: dict[str, Any] = {"webhook": webhook.name, "method": "POST", "headers": {}, "query": {}}
        if body:
            try:
                given |= {"headers": {"content-type": "application/json"}, "json": parsed(body.encode())}
            except ValueError as error:
                raise InvalidArgument(f"the body is no JSON: {error}") from error
        execution, answer = await answered(self._webhooks, webhook, given)
        shown = bytes(answer.body).decode(errors="replace")[:_SHOWN_CHARACTERS]
        kind, status = answer.headers.get("content-type", ""), answer.status_code
        result = part(request, "webhook_test.html", execution=execution, status=status, kind=kind, body=shown)
        return HTMLResponse(result)

    async def _delete(self, request: Request) -> Response:
        """?name=NAME"""
        await self._webhooks.delete(request.query_params.get("name", ""))
        return went(request, "/webhooks")

    def _address(self, name: str) -> str:
        return f"{self._base()}{PATH}/{quote(name, safe='')}"
