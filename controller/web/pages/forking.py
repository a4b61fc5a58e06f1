"""Fork: new executions from a savepoint, beside the one that goes on."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from controller.errors import InvalidArgument
from controller.forks import ForkRequest
from controller.web.forms import field
from controller.web.pages.loading import selector_of
from controller.web.parts import Parts
from controller.web.rendering import went


class ForkDialog:
    """What the dialog on an execution's page asks for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        return [Route("/executions/{id}/fork", self._fork, methods=["POST"])]

    async def _fork(self, request: Request) -> Response:
        """Form: savepoint (empty: where it stands), count, input (keys laid over), name."""
        execution_id, text, count = request.path_params["id"], field(request, "savepoint"), field(request, "count")
        if not (count.isascii() and count.isdigit() and len(count) < 10):  # noqa: PLR2004 - more is refused anyway
            raise InvalidArgument(f"{count!r} is no number of forks")
        forking = ForkRequest(
            savepoint=selector_of(text) if text.strip() else None,
            count=int(count),
            input_value=field(request, "input").strip().encode(),
            name=field(request, "name").strip(),
        )
        _, made = await self._parts.forks.fork(execution_id, forking)
        return went(request, f"/executions/{made[0].id}" if len(made) == 1 else f"/executions?forks={execution_id}")
