"""/files: contents that executions share."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from controller.errors import InvalidArgument
from controller.model import Filter
from controller.web.downloads import attachment
from controller.web.forms import field
from controller.web.parts import PlatformParts
from controller.web.rendering import page, part
from controller.web.words import plural


class FilesPage:
    """The list, with uploads and downloads."""

    def __init__(self, platform: PlatformParts) -> None:
        self._files = platform.files

    def routes(self) -> list[Route]:
        return [
            Route("/files", self._list),
            Route("/files/content", self._content),
            Route("/files/upload", self._upload, methods=["POST"]),
            Route("/files/delete", self._delete, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        """?q=PART OF A NAME&after=NAME"""
        text = request.query_params.get("q", "").strip()
        where = Filter("name", "like", f"%{text}%") if text else None
        found, following = await self._files.list(where, request.query_params.get("after", ""))
        return page(request, "files.html", files=found, following=following, text=text)

    async def _content(self, request: Request) -> Response:
        """?name=NAME, as a download."""
        info, content = await self._files.get(request.query_params.get("name", ""))
        return attachment(info.name.rpartition("/")[2], content)

    async def _upload(self, request: Request) -> Response:
        """Form: file (several), name where it is one that gets another name."""
        given = [(file_name, content) for key, file_name, content in request.state.files if key == "file" and file_name]
        name = field(request, "name").strip()
        if not given:
            raise InvalidArgument("no file was chosen; choose one, or several")
        if name and len(given) > 1:
            raise InvalidArgument(f"{len(given)} files can't have one name; leave the name empty, or choose one file")
        for file_name, content in given:
            await self._files.put(name or file_name, content)
        words = f"{plural(len(given), 'file')} saved"
        return HTMLResponse(part(request, "toast.html", words=words, refusals=()), headers={"HX-Trigger": "changed"})

    async def _delete(self, request: Request) -> Response:
        """?name=NAME"""
        name = request.query_params.get("name", "")
        await self._files.delete(name)
        body = part(request, "toast.html", words=f"“{name}” deleted", refusals=())
        return HTMLResponse(body, headers={"HX-Trigger": "changed"})
