"""What every part of the core works with: the ports, the threads they block in, and who is alive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from controller.changes import Changes
from controller.config import Config
from controller.errors import FlowsnapError, NotFound
from controller.live import LiveTable
from controller.model import Execution, LogLine, Status
from controller.pins import Pins
from controller.ports import Clock, Connector, Database, ImageStore, Launcher
from controller.threads import WorkerThreads
from controller.tokens import AgentTokens

P = ParamSpec("P")
T = TypeVar("T")

STORE_THREADS = 4
# First and longest pause before the database is asked again.
_INSIST_S = (0.1, 2.0)
NOT_ENDED: Sequence[Status] = tuple(status for status in Status if not status.ended)

_log = logging.getLogger(__name__)


class SystemClock:
    """The host's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(eq=False)
class Services:
    """Ports and shared state; no behaviour of the product."""

    config: Config
    database: Database
    store: ImageStore
    launcher: Launcher
    connectors: Mapping[str, Callable[[], Connector]]
    tokens: AgentTokens
    clock: Clock = field(default_factory=SystemClock)
    changes: Changes = field(default_factory=Changes)
    live: LiveTable = field(default_factory=LiveTable)
    pins: Pins = field(default_factory=Pins)
    # One thread: transactions happen in the order in which they were asked for, and SQLite has one writer anyway.
    database_thread: WorkerThreads = field(default_factory=lambda: WorkerThreads("database", 1))
    # Lists for people, which may take a while, hold no call up.
    reading_threads: WorkerThreads = field(default_factory=lambda: WorkerThreads("reading", 2))
    in_store: WorkerThreads = field(default_factory=lambda: WorkerThreads("store", STORE_THREADS))
    in_file: WorkerThreads = field(default_factory=lambda: WorkerThreads("files", 2))
    # Reading memory takes the interpreter's time: two at once leave enough for all else.
    in_inspection: WorkerThreads = field(default_factory=lambda: WorkerThreads("inspection", 2))
    _background: set[asyncio.Task[Any]] = field(default_factory=set)

    async def db(self, method: Callable[Concatenate[Database, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """One method of the database: `await services.db(Database.execution, execution_id)`."""
        return await self.database_thread(getattr(self.database, method.__name__), *args, **kwargs)

    async def read(self, method: Callable[Concatenate[Database, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As db, for what only reads; beside the transactions, in no order with them."""
        return await self.reading_threads(getattr(self.database, method.__name__), *args, **kwargs)

    async def insist(self, method: Callable[Concatenate[Database, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As db, again and again until it is recorded: for what has happened already, and must not be forgotten."""
        pause_s, longest_s = _INSIST_S
        while True:
            try:
                return await self.db(method, *args, **kwargs)
            except FlowsnapError as error:
                if not error.not_recorded:
                    raise
                _log.warning("trying again to record (%s): %s", method.__name__, error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    def background(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run on beside whoever asks; a failure that nobody waits for is logged."""
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        # Errors of the core are answers: whoever asked has heard them, too.
        trace = None if isinstance(error, FlowsnapError) else error
        _log.warning("%s failed: %s", task.get_name(), error, exc_info=trace)

    async def execution(self, execution_id: str) -> Execution:
        """Raises NotFound."""
        found = await self.db(Database.execution, execution_id)
        if found is None:
            raise NotFound(f"execution {execution_id}: there is no such record; it may have been deleted meanwhile")
        return found

    async def tell(self, execution_id: str, text: str) -> None:
        """A line of the controller in the execution's log.

        It says what has happened already: a database that takes nothing just now gets it later.
        """
        lines = [LogLine(self.clock.now(), "system", text)]
        try:
            await self.db(Database.append_log, execution_id, lines)
        except FlowsnapError as error:
            if not error.not_recorded:
                raise
            _log.warning("execution %s: the log gets a line later: %s: %s", execution_id, text, error)
            self.background(self._tell_later(execution_id, lines), f"a line for the log of {execution_id}")
        self.changes.notify(execution_id)

    async def _tell_later(self, execution_id: str, lines: Sequence[LogLine]) -> None:
        await self.insist(Database.append_log, execution_id, lines)
        self.changes.notify(execution_id)

    def agent_dir(self, execution_id: str) -> Path:
        return self.config.agents / execution_id

    def spool(self, execution_id: str) -> Path:
        """Savepoint images on their way between the container and the store."""
        return self.agent_dir(execution_id) / "spool"

    async def close(self) -> None:
        """Let what runs beside come to its end, then the threads."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for threads in (self.in_inspection, self.in_store, self.in_file, self.reading_threads, self.database_thread):
            await asyncio.to_thread(threads.close)
