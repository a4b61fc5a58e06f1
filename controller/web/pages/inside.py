"""What a savepoint holds: the variables of the user's code, its processes and their files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from controller.errors import FlowsnapError
from controller.inspection.report import Process
from controller.savepoints import Selector
from controller.web.parts import Parts
from controller.web.rendering import page


class InsidePanel:
    """A part of the execution's page, asked for when a savepoint is chosen: reading the image takes a moment."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        return [Route("/executions/{id}/inside/{savepoint}", self._show)]

    async def _show(self, request: Request) -> Response:
        execution = await self._parts.services.execution(request.path_params["id"])
        selector = Selector(request.path_params["savepoint"], "id")
        try:
            savepoint = await self._parts.savepoints.resolve(execution, selector)
            report = await self._parts.inspections.inspect(execution, savepoint)
        except FlowsnapError as error:
            return page(request, "inside.html", report=None, words=str(error))
        tree = in_tree(report.processes)
        return await asyncio.to_thread(page, request, "inside.html", report=report, tree=tree, words="")


def in_tree(processes: Sequence[Process]) -> Sequence[tuple[int, Process]]:
    """Each below its parent, with its depth; 0 for those whose parent is not among them."""
    by_pid = {process.pid: process for process in processes}
    children: dict[int, list[Process]] = {}
    waiting = []
    for process in reversed(processes):
        if process.parent_pid in by_pid and process.parent_pid != process.pid:
            children.setdefault(process.parent_pid, []).append(process)
        else:
            waiting.append((0, process))
    found = []
    while waiting:
        depth, process = waiting.pop()
        found.append((depth, process))
        waiting += [(depth + 1, child) for child in children.get(process.pid, ())]
    return found
