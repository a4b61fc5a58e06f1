"""Files: named contents that all executions share, for operators."""

from __future__ import annotations

from collections.abc import Sequence

from controller.errors import InvalidArgument, NotFound
from controller.model import FileInfo, Filter
from controller.ports import Database
from controller.services import Services
from controller.values import checked_name

PAGE = 100


def largest_file(max_value_bytes: int) -> int:
    """What a flow can read and write: its calls carry contents as base64, four bytes for three."""
    return max_value_bytes // 4 * 3 - 1024


class Files:
    """Put, got, listed and deleted."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def put(self, name: str, content: bytes) -> None:
        """Create or replace. Raises InvalidArgument."""
        checked_name(name, "the file's name")
        limit = largest_file(self._services.config.max_value_bytes)
        if len(content) > limit:
            raise InvalidArgument(
                f"file {name!r} has {len(content)} bytes, the limit is {limit}; keep it in a store of its own, and let"
                " flows fetch it"
            )
        await self._services.db(Database.save_file, name, content)

    async def get(self, name: str) -> tuple[FileInfo, bytes]:
        """Raises NotFound."""
        info = await self._services.db(Database.file_info, name)
        content = await self._services.db(Database.file, name)
        if info is None or content is None:
            raise _missing(name)
        return info, content

    async def list(self, where: Filter | None, page_token: str) -> tuple[Sequence[FileInfo], str]:
        """By name, without contents, with the token of the next page, empty on the last."""
        found = await self._services.db(Database.files, where, PAGE + 1, page_token)
        return found[:PAGE], found[PAGE - 1].name if len(found) > PAGE else ""

    async def delete(self, name: str) -> None:
        """Raises NotFound."""
        if not await self._services.db(Database.delete_file, name):
            raise _missing(name)


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no file {name!r}; see `snapctl file ls`")
