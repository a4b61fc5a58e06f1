"""/flows: pushed flows, their versions, what is in each, and what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from controller.errors import InvalidArgument, NotFound
from controller.executions import NewExecution
from controller.flow_calls.fields import shown_input
from controller.flows import file_name_of
from controller.model import ExecutionQuery, Filter, Flow, FlowFile, Release
from controller.ports import Database
from controller.values import packed
from controller.web.downloads import attachment
from controller.web.flow_diff import changes
from controller.web.flow_files import ShownFile, shown
from controller.web.flow_upload import uploaded
from controller.web.forms import field, number
from controller.web.parts import Parts
from controller.web.rendering import page, went
from controller.web.words import pretty

_PAGE = 100
_RUNS_SHOWN = 5
_EXAMPLE = """\
def handler(system, this):
    this.log(message="hello")
    return this.success("all done")
"""


class FlowsPage:
    """The list, and one of them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._flows = parts.flows

    def routes(self) -> list[Route]:
        return [
            Route("/flows", self._list),
            Route("/flows/push", self._new),
            Route("/flows/push", self._push, methods=["POST"]),
            Route("/flows/one", self._show),
            Route("/flows/content", self._content),
            Route("/flows/run", self._run, methods=["POST"]),
            Route("/flows/delete", self._delete, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        """?q=PART OF A NAME&after=NAME"""
        text, after = request.query_params.get("q", "").strip(), request.query_params.get("after", "")
        where = Filter("name", "like", f"%{text}%") if text else None
        found = await self._flows.list(where, _PAGE + 1, after)
        following = found[_PAGE - 1].name if len(found) > _PAGE else ""
        return page(request, "flows.html", flows=found[:_PAGE], following=following, text=text)

    async def _new(self, request: Request) -> Response:
        """?name=NAME: another version of that one, beginning with its newest script."""
        name, script, files = request.query_params.get("name", ""), _EXAMPLE, 0
        if name:
            flow = await self._flows.version((await self._flows.newest(name)).version)
            script, files = flow.script, len(flow.files)
        return page(request, "flow_push.html", name=name, script=script, files=files)

    async def _push(self, request: Request) -> Response:
        """Form: name; script, or uploads: file (a script or a zip), folder; main, the file with the handler."""
        name, main = field(request, "name").strip(), field(request, "main").strip()
        given = [(path, content) for _, path, content in request.state.files if path]
        if given:
            limit = self._parts.services.config.max_value_bytes
            found = await asyncio.to_thread(uploaded, given, main, limit)
            release = await self._flows.push(name or found.name, found.script, found.script_file, found.files)
        else:
            if not name:
                raise InvalidArgument("the flow has no name; give it one")
            files: Sequence[FlowFile] = ()
            script_file = ""
            if field(request, "keep"):
                newest = await self._flows.version((await self._flows.newest(name)).version)
                files, script_file = newest.files, newest.name
            release = await self._flows.push(name, field(request, "script"), script_file, files)
        return went(request, _address(release))

    async def _show(self, request: Request) -> Response:
        """?name=NAME&number=N&against=N"""
        release, flow = await self._found(request)
        releases = await self._flows.releases(release.name)
        against = number(request, "against", 0)
        changed = None
        if against and against != release.number:
            other = await self._flows.release(release.name, against)
            changed = await asyncio.to_thread(changes, await self._flows.version(other.version), flow)
        services = self._parts.services
        runs = await services.read(Database.execution_rows, ExecutionQuery(flow_name=release.name), _RUNS_SHOWN, 0)
        last = await services.execution(runs[0].id) if runs else None
        return page(
            request,
            "flow.html",
            release=release,
            releases=releases,
            newest=releases[0],
            files=await asyncio.to_thread(_shown, release, flow),
            against=against if changed is not None else 0,
            changed=changed,
            runs=runs,
            last=last,
            input=pretty(packed(shown_input(last)))[0] if last else "null",
        )

    async def _content(self, request: Request) -> Response:
        """?name=NAME&number=N&path=PATH, as a download."""
        release, flow = await self._found(request)
        path = request.query_params.get("path", "")
        for file in _files(release, flow):
            if file.path == path:
                return attachment(path.rpartition("/")[2], file.content)
        raise NotFound(f"there is no file {path!r} in number {release.number} of {release.name!r}")

    async def _run(self, request: Request) -> Response:
        """Form: version, input, name."""
        new = NewExecution(
            pushed=field(request, "flow"),
            pushed_version=field(request, "version"),
            input_value=field(request, "input").strip().encode(),
            name=field(request, "name").strip(),
        )
        execution = await self._parts.executions.create(new)
        return went(request, f"/executions/{execution.id}")

    async def _delete(self, request: Request) -> Response:
        """?name=NAME"""
        await self._flows.delete(request.query_params.get("name", ""))
        return went(request, "/flows")

    async def _found(self, request: Request) -> tuple[Release, Flow]:
        release = await self._flows.release(request.query_params.get("name", ""), number(request, "number", 0))
        return release, await self._flows.version(release.version)


def _address(release: Release) -> str:
    return f"/flows/one?name={quote(release.name, safe='')}"


def _files(release: Release, flow: Flow) -> Sequence[FlowFile]:
    """The script first."""
    script_file = flow.name if flow.files else file_name_of(release.name)
    return [FlowFile(script_file, flow.script.encode()), *flow.files]


def _shown(release: Release, flow: Flow) -> Sequence[ShownFile]:
    return [shown(file) for file in _files(release, flow)]
