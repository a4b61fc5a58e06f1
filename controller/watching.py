"""Watching: an execution's record and its log, as they change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from controller.model import Execution, LogLine
from controller.ports import Database
from controller.services import Services

LOG_PAGE = 500


class Watching:
    """Streams for clients. Each reads at its own pace and holds nobody else up."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def execution(self, execution_id: str, *, keep_open: bool) -> AsyncIterator[Execution]:
        """The record now and after each change, until it has ended (or was deleted), unless keep_open."""
        last: Execution | None = None
        with self._services.changes.watch(execution_id) as changed:
            while True:
                changed.clear()
                present = await self._services.db(Database.execution, execution_id)
                if present is None:
                    return
                if present != last:
                    yield present
                    last = present
                if (present.status.ended and not keep_open) or self._services.changes.closed:
                    return
                await changed.wait()

    async def log(self, execution_id: str, after_number: int, *, follow: bool) -> AsyncIterator[Sequence[LogLine]]:
        """Pages of lines with greater numbers; with follow, until it has ended and its agent has said all."""
        with self._services.changes.watch(execution_id) as changed:
            while True:
                changed.clear()
                complete = not follow or await self._is_complete(execution_id)
                lines = await self._services.db(Database.read_log, execution_id, after_number, LOG_PAGE)
                if lines:
                    after_number = lines[-1].number
                    yield lines
                if len(lines) == LOG_PAGE:
                    continue
                if complete or self._services.changes.closed:
                    return
                await changed.wait()

    async def _is_complete(self, execution_id: str) -> bool:
        """No more lines can come: it has ended, and its agent is gone."""
        execution = await self._services.db(Database.execution, execution_id)
        if execution is not None and not execution.status.ended:
            return False
        live = self._services.live.get(execution_id)
        return live is None or live.detached.is_set()
