"""/settings: JSON values that executions share, and who has locked them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from controller.errors import AlreadyExists
from controller.model import Filter
from controller.web.downloads import attachment
from controller.web.forms import field
from controller.web.parts import PlatformParts
from controller.web.rendering import page, went
from controller.web.words import pretty


class SettingsPage:
    """The list, and one of them."""

    def __init__(self, platform: PlatformParts) -> None:
        self._settings = platform.settings

    def routes(self) -> list[Route]:
        return [
            Route("/settings", self._list),
            Route("/settings/new", self._new),
            Route("/settings/one", self._show),
            Route("/settings/value", self._value),
            Route("/settings/save", self._save, methods=["POST"]),
            Route("/settings/delete", self._delete, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        """?q=PART OF A NAME&after=NAME"""
        text = request.query_params.get("q", "").strip()
        where = Filter("name", "like", f"%{text}%") if text else None
        found, following = await self._settings.list(where, request.query_params.get("after", ""))
        return page(request, "settings.html", settings=found, following=following, text=text)

    async def _new(self, request: Request) -> Response:
        return page(request, "setting.html", info=None, value="", cut=False)

    async def _show(self, request: Request) -> Response:
        """?name=NAME"""
        info, value = await self._settings.get(request.query_params.get("name", ""))
        text, cut = pretty(value)
        return page(request, "setting.html", info=info, value=text, cut=cut)

    async def _value(self, request: Request) -> Response:
        """?name=NAME, as a download."""
        info, value = await self._settings.get(request.query_params.get("name", ""))
        return attachment(f"{info.name}.json", value)

    async def _save(self, request: Request) -> Response:
        """Form: name, value; new where there must not be one yet."""
        name = field(request, "name")
        if field(request, "new") and await self._settings.exists(name):
            raise AlreadyExists(f"there is a setting {name!r} already; change that one, or choose another name")
        await self._settings.save(name, field(request, "value").strip().encode())
        return went(request, "/settings")

    async def _delete(self, request: Request) -> Response:
        """?name=NAME"""
        await self._settings.delete(request.query_params.get("name", ""))
        return went(request, "/settings")
