"""Pause, resume, cancel: what an operator does to a running execution."""

from __future__ import annotations

import asyncio
import logging

from controller.endings import Endings
from controller.errors import FailedPrecondition, FlowsnapError
from controller.live import Live
from controller.model import Execution, ExecutionType, SavepointKind, Status
from controller.ports import Database
from controller.recovery import Recovery
from controller.services import NOT_ENDED, Services

# A last savepoint before a cancel is worth that much waiting.
CANCEL_SAVEPOINT_LIMIT_S = 10.0
_PAUSABLE = tuple(status for status in NOT_ENDED if status not in {Status.NEW, Status.PAUSED})

_log = logging.getLogger(__name__)


class Pauses:
    """Freezes and thaws process trees, and cancels executions, each with a savepoint first."""

    def __init__(self, services: Services, endings: Endings, recovery: Recovery) -> None:
        self._services = services
        self._endings = endings
        self._recovery = recovery

    async def pause(self, execution_id: str, *, branch: int | None = None) -> Execution:
        """Take a savepoint and leave the tree frozen. Raises FailedPrecondition unless it runs or waits.

        branch: refused when the execution left it meanwhile.
        """
        return await asyncio.shield(
            self._services.background(self._pause(execution_id, branch), f"pause of {execution_id}")
        )

    async def resume(self, execution_id: str) -> Execution:
        """Let a paused tree go on where it was frozen. Raises FailedPrecondition unless it is paused."""
        return await asyncio.shield(self._services.background(self._resume(execution_id), f"resume of {execution_id}"))

    async def cancel(self, execution_id: str, reason: str) -> Execution:
        """End with ENDED_CANCELLED, after a last savepoint where one can be taken. Raises FailedPrecondition."""
        return await asyncio.shield(
            self._services.background(self._cancel(execution_id, reason), f"cancel of {execution_id}")
        )

    async def _pause(self, execution_id: str, branch: int | None) -> Execution:
        services = self._services
        async with services.live.lock(execution_id):
            execution, live = await self._running(execution_id)
            left = branch is not None and branch != live.branch
            if execution.retry_at is not None:
                raise FailedPrecondition(
                    f"execution {execution.name!r} has failed ({execution.message}); cancel it, or load a savepoint"
                )
            if execution.status not in _PAUSABLE or left:
                raise FailedPrecondition(f"execution {execution.name!r} is {execution.status}: it can't be paused now")
            if live.housed:
                link = await live.agent()
                await link.savepoint(SavepointKind.PAUSE, leave_frozen=True)
            # It is frozen: nobody would let it go on that runs by its record.
            await services.insist(Database.set_status, execution_id, _PAUSABLE, Status.PAUSED)
            live.paused_since = asyncio.get_running_loop().time()
            services.changes.notify(execution_id)
            return await services.execution(execution_id)

    async def _resume(self, execution_id: str) -> Execution:
        services = self._services
        async with services.live.lock(execution_id):
            execution, live = await self._running(execution_id)
            if execution.status is not Status.PAUSED:
                raise FailedPrecondition(f"execution {execution.name!r} is {execution.status}, not PAUSED")
            # Before the thaw: whatever the tree does next finds the status that belongs to it.
            status = live.waiting or Status.RUNNING
            await services.db(Database.set_status, execution_id, (Status.PAUSED,), status)
            try:
                if live.housed:
                    await (await live.agent()).thaw()
                else:
                    await self._recovery.bring_back_locked(live)
            except FlowsnapError:
                await services.insist(Database.set_status, execution_id, (status,), Status.PAUSED)
                raise
            live.paused_since = None
            services.changes.notify(execution_id)
            return await services.execution(execution_id)

    async def _cancel(self, execution_id: str, reason: str) -> Execution:
        async with self._services.live.lock(execution_id):
            execution, live = await self._running(execution_id)
            if execution.status is not Status.NEW and live.housed:
                await self._save(live)
            try:
                await self._endings.end_locked(live, Status.ENDED_CANCELLED, reason or "cancelled")
            except FlowsnapError:
                await self._go_on(live, execution)
                raise
            return await self._services.execution(execution_id)

    async def _go_on(self, live: Live, execution: Execution) -> None:
        """It was frozen for its last savepoint, and could not be ended."""
        if live.ended.is_set() or live.link is None or execution.status is Status.PAUSED:
            return
        try:
            await live.link.thaw()
        except FlowsnapError as error:
            _log.warning("execution %s: %s", execution.id, error)

    async def _running(self, execution_id: str) -> tuple[Execution, Live]:
        execution = await self._services.execution(execution_id)
        live = self._services.live.get(execution_id)
        if execution.type is ExecutionType.TASK or execution.held:
            raise FailedPrecondition(f"execution {execution.name!r} has no process: there is nothing to freeze")
        if live is None or execution.status.ended or live.ended.is_set():
            raise FailedPrecondition(
                f"execution {execution.name!r} has ended with {execution.status}; load a savepoint to go on from there"
            )
        return execution, live

    async def _save(self, live: Live) -> None:
        try:
            async with asyncio.timeout(CANCEL_SAVEPOINT_LIMIT_S):
                link = await live.agent(CANCEL_SAVEPOINT_LIMIT_S)
                await link.savepoint(SavepointKind.OPERATOR, leave_frozen=True, unless_unchanged=True)
        except (FlowsnapError, TimeoutError) as error:
            words = str(error) or f"it took more than {CANCEL_SAVEPOINT_LIMIT_S:g} s"
            _log.warning("execution %s: no savepoint before it was cancelled: %s", live.execution_id, words)
            await self._services.tell(live.execution_id, f"--- cancelled without a last savepoint: {words} ---")
