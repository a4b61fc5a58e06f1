"""Undo: takes the newest load back."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from controller.endings import Endings
from controller.errors import FailedPrecondition, FlowsnapError
from controller.live import Live
from controller.loads import Loads, Request
from controller.model import Execution, Load, Savepoint, SavepointKind
from controller.ports import Database
from controller.savepoints import Savepoints, Selector
from controller.services import Services

_SAVEPOINT_LIMIT_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UndoResult:
    """savepoint: where the execution stands now; None: it is ended again. undone: what had been loaded."""

    execution: Execution
    savepoint: Savepoint | None
    undone: Savepoint | None


class Undos:
    """Goes back to what a load replaced: the savepoint taken then, or the end that had been."""

    def __init__(self, services: Services, savepoints: Savepoints, loads: Loads, endings: Endings) -> None:
        self._services = services
        self._savepoints = savepoints
        self._loads = loads
        self._endings = endings

    async def undo(self, execution_id: str) -> UndoResult:
        """Raises FailedPrecondition when there is no load to take back, and what a load raises."""
        return await asyncio.shield(self._services.background(self._undo(execution_id), f"undo of {execution_id}"))

    async def _undo(self, execution_id: str) -> UndoResult:
        services = self._services
        async with services.live.lock(execution_id):
            execution = await services.execution(execution_id)
            load = await self._newest(execution)
            undone = await services.db(Database.savepoint, load.savepoint_id)
            if load.before_savepoint_id is None:
                return UndoResult(await self._end_again(execution, load), None, undone)
            request = Request("undo", Selector(load.before_savepoint_id, "id"), undoes=load)
            result = await self._loads.load_locked(execution_id, request)
            return UndoResult(result.execution, result.savepoint, undone)

    async def _newest(self, execution: Execution) -> Load:
        loads = await self._services.db(Database.loads, execution.id)
        for load in reversed(loads):
            if not load.undone and load.by in {"operator", "script"}:
                return load
        raise FailedPrecondition(f"execution {execution.name!r}: no load is left to be taken back")

    async def _end_again(self, execution: Execution, load: Load) -> Execution:
        services = self._services
        live = services.live.get(execution.id)
        if live is not None and not live.ended.is_set():
            if live.housed:
                await self._save(live)
            live.cancel_calls()
            await services.insist(Database.abandon_calls, execution.id, live.branch)
        # Its calls are called off: it can't go on any more.
        ended = await services.insist(Database.undo_to_ended, load, load.id)
        if live is not None and not live.ended.is_set():
            self._endings.release(live)
        await services.tell(execution.id, f"--- undone: it is {ended.status} again ---")
        return ended

    async def _save(self, live: Live) -> None:
        """So that what is given up here can be loaded; an execution that can't be saved is given up all the same."""
        try:
            async with asyncio.timeout(_SAVEPOINT_LIMIT_S):
                link = await live.agent()
                await link.savepoint(SavepointKind.BEFORE_LOAD, leave_frozen=True, unless_unchanged=True)
        except (FlowsnapError, TimeoutError) as error:
            _log.warning("execution %s: no savepoint before the undo: %s", live.execution_id, error)
