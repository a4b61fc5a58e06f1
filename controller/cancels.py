"""Cancels: an execution is ended on request, and everything that it started with it."""

from __future__ import annotations

import asyncio
import logging

from controller.errors import FailedPrecondition, FlowsnapError
from controller.model import Execution, ExecutionType, Status
from controller.pauses import Pauses
from controller.ports import Database
from controller.services import Services
from controller.tasks import Tasks

_log = logging.getLogger(__name__)


class Cancels:
    """Cancels executions of every type."""

    def __init__(self, services: Services, pauses: Pauses, tasks: Tasks) -> None:
        self._services = services
        self._pauses = pauses
        self._tasks = tasks

    async def cancel(self, execution_id: str, reason: str) -> Execution:
        """End it with ENDED_CANCELLED, after a last savepoint where it has a process; then its children.

        Raises FailedPrecondition when it has ended.
        """
        execution = await self._services.execution(execution_id)
        if execution.type is ExecutionType.TASK:
            return await self._tasks.cancel(execution, reason or "cancelled")
        if execution.held:
            cancelled = await self._cancel_held(execution, reason)
        else:
            cancelled = await self._pauses.cancel(execution_id, reason)
        await self.cancel_children(cancelled)
        return cancelled

    async def cancel_children(self, parent: Execution) -> None:
        """Of one that was cancelled; those that have ended stay as they are."""
        children = await self._services.db(Database.children, parent.id)
        reason = f"its parent {parent.name!r} was cancelled"
        await asyncio.gather(*(self._try(child, reason) for child in children if not child.status.ended))

    async def _try(self, execution: Execution, reason: str) -> None:
        try:
            await self.cancel(execution.id, reason)
        except FlowsnapError as error:
            _log.info("execution %s, which was to be cancelled: %s", execution.id, error)

    async def _cancel_held(self, execution: Execution, reason: str) -> Execution:
        services, end = self._services, Status.ENDED_CANCELLED
        if not await services.db(Database.set_status, execution.id, (Status.NEW,), end, reason or "cancelled"):
            raise FailedPrecondition(f"execution {execution.name!r} has ended, or was started meanwhile; look at it")
        services.changes.notify(execution.id)
        return await services.execution(execution.id)
