"""Load savepoint: what was typed is resolved, shown as it would be, and then done."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from controller.errors import FlowsnapError, InvalidArgument
from controller.loads import Request as LoadRequest
from controller.ports import Database
from controller.savepoints import Selector
from controller.web.forms import field
from controller.web.left_spans import left_spans
from controller.web.parts import Parts
from controller.web.rendering import page, part, refused
from controller.web.words import ranges

_NAMES_COMPLETED = 100
_IDS_COMPLETED = 50
_LINES_SHOWN = 50
_NAMES_SHOWN = 8
_RANGES_SHOWN = 12
_GIVEN = re.compile(r"(?:(id|name|number)\s*=)?\s*(.*?)\s*", re.DOTALL)


def selector_of(text: str) -> Selector:
    """id=ID, name=NAME, number=N, or a bare number, id or name. Raises InvalidArgument."""
    match = _GIVEN.fullmatch(text.strip())
    by, value = match.groups() if match else (None, "")
    if not value:
        raise InvalidArgument("no savepoint was named; write id=<savepoint-id>, name=<savepoint-name> or its number")
    if by == "number" and not (value.isascii() and value.isdigit()):
        raise InvalidArgument(f"{value!r} is no number; write name={value} for a name")
    if by is None:
        by = "id" if (value.isascii() and value.isdigit()) or value.startswith("sp-") else "name"
    return Selector(value, "name" if by == "name" else "id")


class LoadDialog:
    """What the dialog on an execution's page asks for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        return [
            Route("/executions/{id}/load", self._load, methods=["POST"]),
            Route("/executions/{id}/load/known", self._known),
            Route("/executions/{id}/load/preview", self._preview, methods=["POST"]),
        ]

    async def _known(self, request: Request) -> Response:
        """What the field completes: names, then the newest that have none."""
        services, execution_id = self._parts.services, request.path_params["id"]
        named = await services.read(Database.named_savepoints, execution_id, _NAMES_COMPLETED)
        newest, _ = await services.read(Database.savepoint_rows, execution_id, "", _IDS_COMPLETED, 0)
        unnamed = [one for one in newest if not one.name]
        return page(request, "load_known.html", named=named, unnamed=unnamed)

    async def _preview(self, request: Request) -> Response:
        """What would happen: nothing is changed, and the image is read only by the load."""
        execution_id, text = request.path_params["id"], field(request, "savepoint")
        if not text.strip():
            return HTMLResponse(part(request, "load_preview.html", result=None, words=""))
        try:
            foreseen = LoadRequest("operator", selector_of(text), dry_run=True, verify=False)
            result = await self._parts.loads.load(execution_id, foreseen)
        except FlowsnapError as error:
            return HTMLResponse(part(request, "load_preview.html", result=None, words=str(error)))
        services, left = self._parts.services, result.left_behind
        fork_id = left[0].parent_id if left else result.execution.head_savepoint_id
        fork = await services.read(Database.savepoint_row, fork_id) if fork_id else None
        origins = await services.read(Database.branch_origins, execution_id)
        spans = left_spans(result.execution.branch, fork, origins)
        log, lines = await services.read(Database.log_within, execution_id, spans, _LINES_SHOWN)
        names = list(dict.fromkeys(one.name for one in left if one.name))
        numbers = ranges([one.number for one in left], _RANGES_SHOWN)
        return page(
            request,
            "load_preview.html",
            result=result,
            numbers=numbers,
            names=names,
            names_shown=_NAMES_SHOWN,
            log=log,
            lines=lines,
            words="",
        )

    async def _load(self, request: Request) -> Response:
        execution_id = request.path_params["id"]
        try:
            selector = selector_of(field(request, "savepoint"))
            result = await self._parts.loads.load(execution_id, LoadRequest("operator", selector))
        except FlowsnapError as error:
            return refused(request, error)
        name = f" “{result.savepoint.name}”" if result.savepoint.name else ""
        words = f"Savepoint {result.savepoint.number}{name} was loaded"
        body = part(request, "toast.html", words=words, refusals=())
        return HTMLResponse(body, headers={"HX-Trigger": "changed"})
