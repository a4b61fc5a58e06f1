"""/executions/ID: one execution, its timeline, script, values, log and children, and what can be done to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from controller.errors import InvalidArgument, NotFound
from controller.executions import NewExecution
from controller.flow_calls.fields import shown_input
from controller.model import BranchOrigin, Execution, ExecutionQuery, Flow, SavepointRow, Status
from controller.ports import Database
from controller.values import packed
from controller.web.downloads import attachment
from controller.web.flow_files import shown
from controller.web.forms import field, is_partial, number
from controller.web.parts import Parts
from controller.web.rendering import page, part, went
from controller.web.source import lines_of
from controller.web.timeline import Timeline, drawn, step_of
from controller.web.usage_plot import usage_plots
from controller.web.words import ENDED_WORDS, pretty

SAVEPOINTS_PER_PAGE = 25
LOG_LINES = 200
_CHILDREN_SHOWN = 50


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text that the execution runs. marks: by line number, "present" and "chosen"."""

    path: str
    lines: Sequence[Markup]
    marks: Mapping[int, Sequence[str]]


class ExecutionPage:
    """One execution."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._actions: Mapping[str, Callable[[Request, str], Awaitable[str]]] = {
            "pause": self._pause,
            "resume": self._resume,
            "cancel": self._cancel,
            "undo": self._undo,
            "savepoint": self._savepoint,
        }

    def routes(self) -> list[Route]:
        return [
            Route("/executions/{id}", self._show),
            Route("/executions/{id}/log", self._log),
            Route("/executions/{id}/values/{which}", self._value),
            Route("/executions/{id}/file", self._file),
            Route("/executions/{id}/again", self._again, methods=["POST"]),
            Route("/executions/{id}/delete", self._delete, methods=["POST"]),
            Route("/executions/{id}/{action}", self._act, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        """?sp=SAVEPOINT&first=N&last=N (of the timeline)&page=N&find=TEXT (of the list of savepoints)"""
        reference = request.path_params["id"]
        execution = await self._parts.executions.find(reference)
        if execution.id != reference:
            return RedirectResponse(f"/executions/{execution.id}", 303)
        services = self._parts.services
        chosen = await self._chosen(execution, request.query_params.get("sp", ""))
        origins = await services.read(Database.branch_origins, execution.id)
        find = request.query_params.get("find", "").strip()
        at = number(request, "page", 1)
        savepoints, found = await services.read(
            Database.savepoint_rows, execution.id, find, SAVEPOINTS_PER_PAGE, (at - 1) * SAVEPOINTS_PER_PAGE
        )
        flow = await self._parts.executions.flow(execution)
        load = next((one for one in reversed(origins) if one.by in {"operator", "script"} and not one.undone), None)
        given = {key: value for key, value in request.query_params.items() if value and key in _PARAMETERS}
        children = ExecutionQuery(parent=execution.id, with_tasks=True)

        def address(**changed: object) -> str:
            encoded = urlencode({k: v for k, v in {**given, **changed}.items() if v not in {None, ""}})
            return f"/executions/{execution.id}" + (f"?{encoded}" if encoded else "")

        values: dict[str, Any] = {
            "execution": execution,
            "chosen": chosen,
            "timeline": await self._timeline(request, execution, origins, chosen),
            "origins": origins,
            "load": load,
            "savepoints": savepoints,
            "found": found,
            "find": find,
            "at": at,
            "pages": max(-(-found // SAVEPOINTS_PER_PAGE), 1),
            "address": address,
            "why": _why_not(execution, undoable=load is not None),
            "parent": await self._parent(execution),
            "forks": sum(
                (await services.read(Database.execution_counts, ExecutionQuery(forks_of=execution.id))).values()
            ),
            "children": await services.read(Database.execution_rows, children, _CHILDREN_SHOWN, 0),
            "sources": await asyncio.to_thread(_sources, flow, execution, chosen),
            "beside": [file for file in flow.files if not file.path.endswith(".py")] if flow else [],
            "input": pretty(packed(shown_input(execution))),
            "output": pretty(execution.output_value),
            "usage": usage_plots((await self._parts.executions.usage(execution.id)).samples, origins),
        }
        log = () if is_partial(request) else await services.read(Database.read_log_back, execution.id, None, LOG_LINES)
        values |= {"log": log, "log_lines": LOG_LINES}
        # Large pages take a while: calls are answered meanwhile.
        return await asyncio.to_thread(page, request, "execution.html", **values)

    async def _timeline(
        self,
        request: Request,
        execution: Execution,
        origins: Sequence[BranchOrigin],
        chosen: SavepointRow | None,
    ) -> Timeline:
        total = execution.savepoint_count
        last = min(number(request, "last", total), total)
        first = min(number(request, "first", 1), max(last, 1))
        services = self._parts.services
        runs = await services.read(Database.savepoint_runs, execution.id, first, last, step_of(first, last))
        return drawn(
            runs,
            origins,
            first=first,
            last=last,
            total=total,
            branch=execution.branch,
            chosen=chosen,
        )

    async def _chosen(self, execution: Execution, savepoint_id: str) -> SavepointRow | None:
        found = await self._parts.services.read(Database.savepoint_row, savepoint_id) if savepoint_id else None
        return found if found is not None and found.execution_id == execution.id else None

    async def _parent(self, execution: Execution) -> Execution | None:
        parent_id = execution.parent_id
        return await self._parts.services.db(Database.execution, parent_id) if parent_id else None

    async def _log(self, request: Request) -> Response:
        """?after=N: what was written since; ?before=N: what stands above; ?find=TEXT&before=N: lines that have it."""
        execution = await self._parts.services.execution(request.path_params["id"])
        services = self._parts.services
        if find := request.query_params.get("find", ""):
            before = number(request, "before", 0, least=0) or None
            lines = await services.read(Database.read_log_back, execution.id, before, LOG_LINES, find)
            earlier = len(lines) == LOG_LINES
            return page(request, "log_found.html", execution=execution, log=lines, find=find, earlier=earlier)
        if "find" in request.query_params:
            return HTMLResponse("")
        if "before" in request.query_params:
            before = number(request, "before", 1)
            lines = await services.read(Database.read_log_back, execution.id, before, LOG_LINES)
            return page(request, "log_before.html", execution=execution, log=lines, log_lines=LOG_LINES)
        after = number(request, "after", 0, least=0)
        lines = await services.read(Database.read_log, execution.id, after, LOG_LINES)
        more = len(lines) == LOG_LINES
        last = lines[-1].number if lines else after
        return page(request, "log_after.html", execution=execution, log=lines, last=last, more=more)

    async def _value(self, request: Request) -> Response:
        """Input or output whole, as a file."""
        execution = await self._parts.services.execution(request.path_params["id"])
        which = request.path_params["which"]
        if which not in {"input", "output"}:
            raise NotFound(f"an execution has an input and an output, no {which!r}")
        value = packed(shown_input(execution)) if which == "input" else execution.output_value
        name = f"{execution.id}-{which}.json"
        return PlainTextResponse(value, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    async def _file(self, request: Request) -> Response:
        """?path=PATH of a file of the flow, to be shown; &download=1: as a file."""
        execution = await self._parts.services.execution(request.path_params["id"])
        flow, path = await self._parts.executions.flow(execution), request.query_params.get("path", "")
        file = next((one for one in flow.files if one.path == path), None) if flow else None
        if file is None:
            raise NotFound(f"the flow of execution {execution.name!r} has no file {path!r}")
        if request.query_params.get("download"):
            return attachment(path.rpartition("/")[2], file.content)
        return await asyncio.to_thread(page, request, "flow_file.html", file=shown(file))

    async def _act(self, request: Request) -> Response:
        """Carries out one of the actions, and says so."""
        name, execution_id = request.path_params["action"], request.path_params["id"]
        if name not in self._actions:
            raise NotFound(f"there is no action {name!r}")
        words = await self._actions[name](request, execution_id)
        if not is_partial(request):
            return RedirectResponse(f"/executions/{execution_id}", 303)
        body = part(request, "toast.html", words=words, refusals=())
        return HTMLResponse(body, headers={"HX-Trigger": "changed"})

    async def _pause(self, request: Request, execution_id: str) -> str:  # noqa: ARG002
        await self._parts.pauses.pause(execution_id)
        return "Paused, with a savepoint"

    async def _resume(self, request: Request, execution_id: str) -> str:  # noqa: ARG002
        await self._parts.pauses.resume(execution_id)
        return "It goes on"

    async def _cancel(self, request: Request, execution_id: str) -> str:  # noqa: ARG002
        await self._parts.cancels.cancel(execution_id, "cancelled on the page")
        return "Cancelled"

    async def _undo(self, request: Request, execution_id: str) -> str:  # noqa: ARG002
        result = await self._parts.undos.undo(execution_id)
        if result.savepoint is None:
            return f"The load was taken back: it has ended again, {ENDED_WORDS[result.execution.status]}"
        return f"The load was taken back: it goes on from savepoint {result.savepoint.number}"

    async def _savepoint(self, request: Request, execution_id: str) -> str:
        savepoint = await self._parts.savepoints.create(execution_id, field(request, "name").strip())
        return f"Savepoint {savepoint.number} was taken"

    async def _again(self, request: Request) -> Response:
        """A new execution of the same version, with the same input and limits."""
        execution = await self._parts.services.execution(request.path_params["id"])
        flow = await self._parts.executions.flow(execution)
        if flow is None or (why := _why_not_again(execution)):
            raise InvalidArgument(f"execution {execution.name!r} can't be run again: {why or 'its flow is gone'}")
        new = NewExecution(
            script=flow.script,
            flow_name=execution.flow_name,
            input_value=execution.input_value,
            container_image=execution.container_image,
            memory_limit_bytes=execution.memory_limit_bytes,
            pids_limit=execution.pids_limit,
            files=flow.files,
            script_file=flow.name,
            type=execution.type,
        )
        created = await self._parts.executions.create(new)
        return went(request, f"/executions/{created.id}")

    async def _delete(self, request: Request) -> Response:
        await self._parts.executions.delete(request.path_params["id"], force=False)
        return went(request, "/executions")


_PARAMETERS = ("sp", "first", "last", "page", "find")


def _why_not(execution: Execution, *, undoable: bool) -> Mapping[str, str]:
    """By action: why it can't be taken now, empty when it can."""
    status, task = execution.status, execution.type.value == "TASK"
    ended = f"it has ended {ENDED_WORDS[status]}" if status.ended else ""
    no_process = "it has no process of its own" if task else "nobody started it yet" if execution.held else ""
    starting = "it is being started" if status is Status.NEW else ""
    return {
        "again": _why_not_again(execution),
        "pause": no_process or ended or starting or ("it is paused already" if status is Status.PAUSED else ""),
        "resume": no_process or ended or ("" if status is Status.PAUSED else "it is not paused"),
        "cancel": ended,
        "savepoint": no_process or ended or starting,
        "load": no_process or ("" if execution.savepoint_count else "it has no savepoint yet"),
        "fork": no_process or ("" if execution.savepoint_count else "it has no savepoint yet"),
        "undo": "" if undoable else "no savepoint was loaded, or each load was taken back",
        "delete": "" if status.ended else "it has not ended; cancel it first",
    }


def _why_not_again(execution: Execution) -> str:
    return "it is a connector's call" if execution.type.value == "TASK" else ""


def _sources(flow: Flow | None, execution: Execution, chosen: SavepointRow | None) -> Sequence[SourceFile]:
    if flow is None or execution.type.value == "TASK":
        return []
    texts = [(flow.name, flow.script)]
    texts += [(file.path, file.content.decode(errors="replace")) for file in flow.files if file.path.endswith(".py")]
    made = []
    for path, text in texts:
        marks: dict[int, list[str]] = {}
        if execution.last_line and _is(execution.last_file, path):
            marks.setdefault(execution.last_line, []).append("present")
        if chosen is not None and chosen.line and _is(chosen.file, path):
            marks.setdefault(chosen.line, []).append("chosen")
        made.append(SourceFile(path, lines_of(text), marks))
    return made


def _is(file: str, path: str) -> bool:
    """Whether a file of the sandbox is that one of the flow."""
    return file == path or file.endswith(f"/{path}")
