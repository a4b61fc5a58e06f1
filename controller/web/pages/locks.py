"""/locks: who holds what, and who waits for it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from controller.ports import Database
from controller.web.parts import Parts, PlatformParts
from controller.web.rendering import page, part


class LocksPage:
    """All locks that are held."""

    def __init__(self, parts: Parts, platform: PlatformParts) -> None:
        self._services = parts.services
        self._locks = platform.locks

    def routes(self) -> list[Route]:
        return [Route("/locks", self._list), Route("/locks/release", self._release, methods=["POST"])]

    async def _list(self, request: Request) -> Response:
        locks = await self._locks.list()
        ids = {lock.execution_id for lock, _ in locks} | {one for _, waiting in locks for one in waiting}
        executions = {one.id: one for one in await self._services.read(Database.executions, sorted(ids))}
        return page(request, "locks.html", locks=locks, executions=executions)

    async def _release(self, request: Request) -> Response:
        """?name=NAME"""
        name = request.query_params.get("name", "")
        heir = await self._locks.take_away(name)
        words = f"“{name}” was handed to execution {heir}" if heir else f"“{name}” is free"
        body = part(request, "toast.html", words=words, refusals=())
        return HTMLResponse(body, headers={"HX-Trigger": "changed"})
