"""/new: a flow is chosen or pasted, gets an input, and runs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from controller.errors import FlowsnapError
from controller.executions import NewExecution
from controller.web.forms import field
from controller.web.parts import Parts
from controller.web.rendering import page, status_of, went

_FLOWS_LISTED = 1000
_EXAMPLE = """\
def handler(system, this):
    this.log(message="hello")
    this.create_dump("half-way")
    return this.success("all done")
"""


class NewPage:
    """Starts executions."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        return [Route("/new", self._show), Route("/new", self._run, methods=["POST"])]

    async def _show(self, request: Request) -> Response:
        """?flow=NAME: chosen already."""
        flow = request.query_params.get("flow", "")
        return await self._form(request, {"flow": flow, "script": "" if flow else _EXAMPLE, "input": "null"})

    async def _run(self, request: Request) -> Response:
        """Form: flow, or script with file; input; name. What is refused keeps all that was typed."""
        given = {name: field(request, name) for name in ("flow", "script", "file", "input", "name")}
        pushed = given["flow"].strip()
        new = NewExecution(
            script="" if pushed else given["script"],
            flow_name="" if pushed else given["file"].strip(),
            pushed=pushed,
            input_value=given["input"].strip().encode(),
            name=given["name"].strip(),
        )
        try:
            execution = await self._parts.executions.create(new)
        except FlowsnapError as error:
            return await self._form(request, given, words=str(error), status=status_of(error))
        return went(request, f"/executions/{execution.id}")

    async def _form(self, request: Request, given: dict[str, str], *, words: str = "", status: int = 200) -> Response:
        releases = await self._parts.flows.list(None, _FLOWS_LISTED, "")
        filled = {"flow": "", "script": "", "file": "", "input": "", "name": "", **given}
        return page(request, "new.html", status=status, given=filled, releases=releases, words=words)
