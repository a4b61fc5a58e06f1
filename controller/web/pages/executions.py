"""/executions: the list, with its filters, and what is done to several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from controller.errors import FlowsnapError, InvalidArgument
from controller.model import ExecutionQuery, Status
from controller.ports import Database
from controller.web.forms import field, number
from controller.web.parts import Parts
from controller.web.rendering import page, part
from controller.web.words import plural

PAGE_SIZE = 50
_FLOWS_LISTED = 500
# At the same time, when many are cancelled: each may take a savepoint first.
_AT_ONCE = 8
_REFUSALS_TOLD = 5
_MOST_SELECTED = 10_000

GROUPS: Mapping[str, tuple[str, tuple[Status, ...]]] = {
    "": ("All", ()),
    "active": ("Active", (Status.NEW, Status.RUNNING)),
    "waiting": (
        "Waiting",
        (Status.SLEEPING, Status.WAITING_CHILD, Status.WAITING_MESSAGE, Status.WAITING_LOCK),
    ),
    "paused": ("Paused", (Status.PAUSED,)),
    "success": ("Success", (Status.ENDED_SUCCESS,)),
    "error": ("Error", (Status.ENDED_ERROR,)),
    "cancelled": ("Cancelled", (Status.ENDED_CANCELLED,)),
}


@dataclass(frozen=True, slots=True)
class Tab:
    """A group of statuses with its count."""

    key: str
    label: str
    count: int
    address: str


class ExecutionsPage:
    """The list of all executions."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        return [
            Route("/executions", self._show),
            Route("/executions/matching", self._matching),
            Route("/executions/bulk", self._bulk, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        """?q=TEXT&status=GROUP&flow=NAME&tree=ID&forks=ID&roots=1&tasks=1&page=N"""
        services = self._parts.services
        given, group, query = _asked(request)
        counts = await services.read(Database.execution_counts, query)
        total = _sum(counts, query.statuses)
        pages = max(-(-total // PAGE_SIZE), 1)
        at = min(number(request, "page", 1), pages)
        rows = await services.read(Database.execution_rows, query, PAGE_SIZE, (at - 1) * PAGE_SIZE)
        tabs = [
            Tab(key, label, _sum(counts, statuses), _address(given | {"status": key, "page": ""}))
            for key, (label, statuses) in GROUPS.items()
        ]
        return await asyncio.to_thread(
            page,
            request,
            "executions.html",
            rows=rows,
            tabs=tabs,
            group=group,
            given=given,
            query=query,
            flows=await services.read(Database.flow_names, _FLOWS_LISTED),
            total=total,
            at=at,
            pages=pages,
            first=(at - 1) * PAGE_SIZE + 1,
            page_address=lambda to: _address(given | {"page": str(to) if to > 1 else ""}),
            anything=bool(given),
            matching=_address(given | {"page": ""}, "/executions/matching"),
            most_selected=_MOST_SELECTED,
        )

    async def _matching(self, request: Request) -> Response:
        """Parameters as those of the list: the ids of all that match, newest first, as a JSON array."""
        _, _, query = _asked(request)
        return JSONResponse(list(await self._parts.services.read(Database.execution_ids, query, _MOST_SELECTED)))

    async def _bulk(self, request: Request) -> Response:
        """Form: action, ids (separated by spaces), force. What can't be done to one is told, the others go on."""
        ids = list(dict.fromkeys(field(request, "ids").split()))
        action = self._action(field(request, "action"), force=bool(field(request, "force")))
        if not ids:
            raise InvalidArgument("no execution was selected; tick those that are meant")
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(execution_id: str) -> str:
            async with limit:
                try:
                    await action(execution_id)
                except FlowsnapError as error:
                    return str(error)
            return ""

        refusals = [words for words in await asyncio.gather(*map(one, ids)) if words]
        verb = _DONE[field(request, "action")]
        words = f"{plural(len(ids) - len(refusals), 'execution')} {verb}"
        body = part(request, "toast.html", words=words, refusals=_told(refusals))
        return HTMLResponse(body, headers={"HX-Trigger": "changed, unselect"})

    def _action(self, name: str, *, force: bool) -> Callable[[str], Awaitable[object]]:
        parts = self._parts
        if name == "pause":
            return parts.pauses.pause
        if name == "cancel":
            return lambda execution_id: parts.cancels.cancel(execution_id, "cancelled on the page")
        if name == "delete":
            return lambda execution_id: parts.executions.delete(execution_id, force=force)
        raise InvalidArgument(f"{name!r} can't be done to several executions; pause, cancel or delete them")


_PARAMETERS = ("q", "status", "flow", "tree", "forks", "roots", "tasks", "page")
_DONE = {"pause": "paused", "cancel": "cancelled", "delete": "deleted"}


def _sum(counts: Mapping[Status, int], statuses: Sequence[Status]) -> int:
    return sum(count for status, count in counts.items() if not statuses or status in statuses)


def _asked(request: Request) -> tuple[dict[str, str], str, ExecutionQuery]:
    """The parameters that are known, the group of statuses, and what is to be found."""
    given = {key: value for key, value in request.query_params.items() if value and key in _PARAMETERS}
    group = given.get("status", "") if given.get("status", "") in GROUPS else ""
    query = ExecutionQuery(
        text=given.get("q", "").strip(),
        statuses=GROUPS[group][1],
        flow_name=given.get("flow", ""),
        tree=given.get("tree", ""),
        forks_of=given.get("forks", ""),
        roots_only="roots" in given,
        with_tasks="tasks" in given,
    )
    return given, group, query


def _address(parameters: Mapping[str, str], path: str = "/executions") -> str:
    encoded = urlencode({key: value for key, value in parameters.items() if value})
    return f"{path}?{encoded}" if encoded else path


def _told(refusals: Sequence[str]) -> Sequence[str]:
    more = len(refusals) - _REFUSALS_TOLD
    return [*refusals[:_REFUSALS_TOLD], *([f"and {more} more"] if more > 0 else [])]
