"""Flows: scripts with their helper files, pushed under a name and kept by version."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath

from controller.errors import InvalidArgument, NotFound
from controller.model import Filter, Flow, FlowFile, Release
from controller.ports import Database
from controller.services import Services
from controller.values import checked_flow_name, checked_name, checked_script

MAX_FILES = 1000
DEFAULT_PAGE = 100
LARGEST_PAGE = 1000
_PATH_CHARACTERS = 500


def make_flow(script: str, file_name: str, files: Sequence[FlowFile] = (), *, max_bytes: int) -> Flow:
    """A checked flow with its version.

    Raises InvalidArgument for a script or module that does not parse, a path that leads elsewhere, too much of either.
    """
    name = checked_flow_name(file_name)
    checked_script(script, name)
    ordered = tuple(sorted(files, key=lambda file: file.path))
    if len(ordered) > MAX_FILES:
        raise InvalidArgument(f"{name}: {len(ordered)} files stand beside the script, the limit is {MAX_FILES}")
    size = len(script.encode()) + sum(len(file.content) for file in ordered)
    if size > max_bytes:
        raise InvalidArgument(f"{name}: the flow's files have {size} bytes, the limit is {max_bytes}")
    taken = {name}
    for file in ordered:
        _check_path(file.path)
        if file.path in taken:
            raise InvalidArgument(f"{name}: the file {file.path!r} is there twice")
        taken.add(file.path)
        if file.path.endswith(".py"):
            _check_module(file)
    return Flow(name, _version(script, name, ordered), script, ordered)


def file_name_of(flow_name: str) -> str:
    """The script's file name of a flow that has no other files: what its version holds is the text alone."""
    return flow_name if PurePosixPath(flow_name).suffix else f"{flow_name}.py"


class Flows:
    """Pushed flows."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def push(self, name: str, script: str, file_name: str, files: Sequence[FlowFile]) -> Release:
        """Make this the version that the name stands for. Raises InvalidArgument."""
        checked_flow_name(name)
        limit = self._services.config.max_value_bytes
        flow = make_flow(script, file_name or file_name_of(name), files, max_bytes=limit)
        return await self._services.db(Database.add_release, name, flow)

    async def newest(self, name: str) -> Release:
        """Raises NotFound."""
        found = await self._services.db(Database.releases, name)
        if not found and name.endswith(".py"):
            found = await self._services.db(Database.releases, name.removesuffix(".py"))
        if not found:
            raise NotFound(f"there is no flow {name!r}; push it with `snapctl flow push`")
        return found[0]

    async def by_id(self, version: str) -> Release:
        """The newest release of that version. Raises NotFound."""
        found = await self._services.db(Database.release_of, version)
        if found is None:
            raise NotFound(f"there is no flow with the id {version!r}; see `snapctl flow ls`")
        return found

    async def release(self, name: str, number: int) -> Release:
        """The newest where number is 0. Raises NotFound."""
        if not number:
            return await self.newest(name)
        found = await self._services.db(Database.releases, name)
        for release in found:
            if release.number == number:
                return release
        known = f"there are 1 to {found[0].number}" if found else "push it with `snapctl flow push`"
        raise NotFound(f"there is no flow {name!r} with the number {number}; {known}")

    async def releases(self, name: str) -> Sequence[Release]:
        """Newest first; empty for an unknown name."""
        return await self._services.db(Database.releases, name)

    async def version(self, version: str) -> Flow:
        """Raises NotFound."""
        found = await self._services.db(Database.flow, version)
        if found is None:
            raise NotFound(f"there is no flow of the version {version!r}; see `snapctl flow ls`")
        return found

    async def list(self, where: Filter | None, limit: int, after: str) -> Sequence[Release]:
        """The newest of each name, by name, from behind a name. Raises InvalidArgument for a bad filter."""
        return await self._services.db(Database.newest_releases, where, limit, after)

    async def page(self, name: str, page_size: int, page_token: str) -> tuple[Sequence[Release], str]:
        """All versions of a name, or the newest of each; with the token of the next page, empty on the last.

        Raises InvalidArgument, NotFound for an unknown name.
        """
        if page_size < 0:
            raise InvalidArgument(f"page size {page_size}: give at least 1, or 0 for {DEFAULT_PAGE}")
        if name:
            await self.newest(name)
            return await self.releases(name), ""
        size = min(page_size or DEFAULT_PAGE, LARGEST_PAGE)
        found = await self.list(None, size + 1, page_token)
        return found[:size], found[size - 1].name if len(found) > size else ""

    async def delete(self, name: str) -> None:
        """Forget the name; executions keep what they run. Raises NotFound."""
        if not await self._services.db(Database.delete_releases, name):
            raise NotFound(f"there is no flow {name!r}; see `snapctl flow ls`")


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    plain = path and path == str(PurePosixPath(path)) and not path.startswith("/") and ".." not in parts
    if not plain or path == "." or len(path) > _PATH_CHARACTERS:
        raise InvalidArgument(f"the file {path[:_PATH_CHARACTERS]!r} has no plain relative path; leave out . and ..")
    for part in parts:
        checked_name(part, f"a part of the path {path!r}")


def _check_module(file: FlowFile) -> None:
    try:
        ast.parse(file.content, file.path)
    except SyntaxError as error:
        raise InvalidArgument(f"{file.path}:{error.lineno or 0}: {error.msg}; correct the module") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InvalidArgument(f"{file.path}: it can't be parsed: {error or type(error).__name__}") from error


def _version(script: str, name: str, files: Sequence[FlowFile]) -> str:
    if not files:
        return hashlib.sha256(script.encode()).hexdigest()
    whole = hashlib.sha256()
    for path, content in ((name, script.encode()), *((file.path, file.content) for file in files)):
        whole.update(hashlib.sha256(path.encode()).digest() + hashlib.sha256(content).digest())
    return whole.hexdigest()
