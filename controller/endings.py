"""The end of an execution: recorded first, then its process tree and its container go."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable

import faults
from controller.errors import FlowsnapError
from controller.live import Live
from controller.model import Status
from controller.ports import Database
from controller.savepoints import Savepoints
from controller.services import NOT_ENDED, Services

# How long an agent may take to kill its tree and hand over the last log lines before its container is removed.
AGENT_FAREWELL_S = 2.0

_ENGINE_RETRY_S = 1.0

_log = logging.getLogger(__name__)


# Holding the lock: whether the execution, which failed with that message, goes on for now.
PutOff = Callable[[Live, str], Awaitable[bool]]


class Endings:
    """Ends executions, whoever asks: the flow, an operator, a fault that recovery gave up on."""

    def __init__(self, services: Services, savepoints: Savepoints) -> None:
        self._services = services
        self._savepoints = savepoints
        self._put_off: PutOff | None = None

    async def end(self, live: Live, status: Status, message: str, *, branch: int | None = None) -> bool:
        """Record the end and let the container go. branch: end only what still runs on it.

        False: it had ended, or a load took it elsewhere, before.
        """
        async with self._services.live.lock(live.execution_id):
            if branch is not None and live.branch != branch:
                return False
            return await self.end_locked(live, status, message)

    def before_errors(self, put_off: PutOff) -> None:
        """Who is asked whether an error is to be an end."""
        self._put_off = put_off

    async def end_locked(self, live: Live, status: Status, message: str, *, final: bool = False) -> bool:
        """As end, for those who hold the execution's lock. final: an error is not put off for a retry."""
        if live.ended.is_set():
            return False
        error = status is Status.ENDED_ERROR and not final
        if error and self._put_off is not None and await self._put_off(live, message):
            return True
        services, execution_id = self._services, live.execution_id
        faults.reach("controller.end.row.before")
        ended = await services.db(Database.set_status, execution_id, NOT_ENDED, status, message)
        faults.reach("controller.end.row.after")
        live.cancel_calls()
        # It is recorded as ended: its container has to go, whatever is refused now.
        await services.insist(Database.abandon_calls, execution_id, live.branch)
        self.release(live)
        _log.info("execution %s: %s", execution_id, status)
        return ended

    def release(self, live: Live) -> None:
        """Let the container of an execution go that is recorded as ended."""
        live.ended.set()
        self._services.changes.notify(live.execution_id)
        live.cleaning = self._services.background(
            self._clean_up(live), f"removing the container of {live.execution_id}"
        )

    async def _remove_container(self, execution_id: str) -> None:
        """However long the engine refuses: nobody else would remove it."""
        while True:
            try:
                return await self._services.launcher.remove(execution_id)
            except FlowsnapError as error:
                _log.warning("execution %s: %s; trying again", execution_id, error)
            await asyncio.sleep(_ENGINE_RETRY_S)

    async def let_go(self, live: Live) -> None:
        """Holding the lock of one that goes on without a container: that goes, and its last dumps into the store.

        Raises Unavailable, with the container still there.
        """
        await self._services.launcher.remove(live.execution_id)
        live.unhouse()
        await asyncio.gather(*live.commits.values(), return_exceptions=True)
        await self._savepoints.commit_left_over(live.execution_id)
        folder = self._services.agent_dir(live.execution_id)
        await self._services.in_file(shutil.rmtree, folder, ignore_errors=True)

    async def _clean_up(self, live: Live) -> None:
        services, execution_id = self._services, live.execution_id
        try:
            if live.starting is not None:
                await asyncio.gather(live.starting, return_exceptions=True)
            if live.link is not None:
                await live.link.stop()
                try:
                    async with asyncio.timeout(AGENT_FAREWELL_S):
                        await live.detached.wait()
                except TimeoutError:
                    _log.info("execution %s: its agent did not end by itself; removing its container", execution_id)
            live.unhouse()
            faults.reach("controller.container.remove.before")
            await self._remove_container(execution_id)
            faults.reach("controller.container.remove.after")
            # Commits read the spool folder; they end soon, because one that waits for room sees the end.
            await asyncio.gather(*live.commits.values(), return_exceptions=True)
            await self._savepoints.commit_left_over(execution_id)
            await services.in_file(shutil.rmtree, services.agent_dir(execution_id), ignore_errors=True)
        finally:
            services.live.drop(live)
            services.changes.notify(execution_id)
