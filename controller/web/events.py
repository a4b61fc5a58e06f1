"""/events: tells an open page that something changed; the page then asks for the part that it shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from controller.changes import usage_of
from controller.messages import ANY_MESSAGE
from controller.web.parts import Parts

# A page is drawn anew at most so often, however busy its executions are.
_LEAST_PAUSE_S = 0.5
_KEEP_ALIVE_S = 15.0


class Events:
    """Server-sent events without content: `changed`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        return [Route("/events", self._events)]

    async def _events(self, request: Request) -> Response:
        """?execution=ID: of that one alone; ?of=messages: of none.

        Messages tell all pages, which show how many are open.
        """
        watched = request.query_params.getlist("execution")
        watched += map(usage_of, list(watched))
        if watched or request.query_params.get("of") == ANY_MESSAGE:
            watched.append(ANY_MESSAGE)
        stream = self._stream(watched, request.state.session)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _stream(self, watched: list[str], session: str) -> AsyncIterator[str]:
        changes = self._parts.services.changes
        with changes.watch(*watched) if watched else changes.watch_all() as changed:
            # What happened before the stream stood is told at once.
            yield "retry: 2000\nevent: changed\ndata:\n\n"
            while not changes.closed:
                try:
                    async with asyncio.timeout(_KEEP_ALIVE_S):
                        await changed.wait()
                except TimeoutError:
                    if not await self._parts.sessions.known(session):
                        return
                    yield ": still here\n\n"
                    continue
                changed.clear()
                yield "event: changed\ndata:\n\n"
                await asyncio.sleep(_LEAST_PAUSE_S)
