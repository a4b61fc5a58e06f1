"""Retries: an execution that failed is loaded again from a savepoint, as its rule says, before its error is an end."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from controller.endings import Endings
from controller.errors import FlowsnapError, NotFound, ResourceExhausted, Unavailable
from controller.live import Live
from controller.loads import Loads, Request
from controller.model import LATEST, Execution, Savepoint, Status
from controller.ports import Database
from controller.savepoints import Savepoints, Selector
from controller.services import Services

_LATER_S = 5.0
_AT_ONCE = 4
_WORDS_CHARACTERS = 200

_log = logging.getLogger(__name__)


class Retries:
    """Puts errors off while there are retries left. What is put off is in the records: a restart changes nothing."""

    def __init__(self, services: Services, savepoints: Savepoints, endings: Endings, loads: Loads) -> None:
        self._services = services
        self._savepoints = savepoints
        self._endings = endings
        self._loads = loads
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def put_off(self, live: Live, message: str) -> bool:
        """Holding the lock, of one that is about to end with that error. False: it has to."""
        services = self._services
        execution = await services.execution(live.execution_id)
        number, rule = execution.retry_count + 1, execution.retry_rule
        if number > rule.retries or execution.status.ended:
            return False
        live.cancel_calls()
        try:
            await self._endings.let_go(live)
        except Unavailable as error:
            _log.warning("execution %s: its container could not be removed: %s", execution.id, error)
            # The next one takes its place.
            live.unhouse()
        # A flow that fails soon after its first call ends before the savepoint of that is committed.
        if await self._savepoint(await services.execution(execution.id)) is None:
            return False
        what = f"retry {number} of {rule.retries} in {rule.backoff_s:g} s"
        lines = message.strip().splitlines() or ["it said nothing"]
        at = services.clock.now() + timedelta(seconds=rule.backoff_s)
        # Its container is gone, and nobody reports its end once more.
        if not await services.insist(Database.put_off, execution.id, f"{what}: {lines[-1][:_WORDS_CHARACTERS]}", at):
            return False
        await services.insist(Database.abandon_calls, execution.id, live.branch)
        await services.tell(execution.id, f"--- failed, {what}: {message} ---")
        self.expect(live)
        return True

    def expect(self, live: Live) -> None:
        """Load it when its time comes."""
        self._services.background(self._wait(live, live.container), f"retry of {live.execution_id}")

    async def _wait(self, live: Live, container: int) -> None:
        services = self._services
        execution = await services.execution(live.execution_id)
        while execution.retry_at is not None:
            await asyncio.sleep(max(0.0, (execution.retry_at - services.clock.now()).total_seconds()))
            async with self._turn, services.live.lock(live.execution_id):
                execution = await services.execution(live.execution_id)
                if live.ended.is_set() or live.container != container or execution.retry_at is None:
                    return
                if await self._load(live, execution):
                    return
                container = live.container
            await asyncio.sleep(_LATER_S)

    async def _load(self, live: Live, execution: Execution) -> bool:
        """False: what hinders it passes."""
        savepoint = await self._savepoint(execution)
        try:
            if savepoint is None:
                raise NotFound(f"execution {execution.name!r}: the savepoint for its retry is gone")
            await self._loads.load_locked(execution.id, Request("retry", Selector(savepoint.id, "id")))
        except (Unavailable, ResourceExhausted) as error:
            _log.warning("execution %s can't be tried again yet: %s", execution.id, error)
            return False
        except FlowsnapError as error:
            words = f"{execution.message}; the retry failed: {error}"
            await self._endings.end_locked(live, Status.ENDED_ERROR, words, final=True)
        return True

    async def _savepoint(self, execution: Execution) -> Savepoint | None:
        """The newest of the rule's name; the newest of all where the rule, or no savepoint, has it."""
        name = execution.retry_rule.savepoint
        if name != LATEST:
            try:
                return await self._savepoints.resolve(execution, Selector(name, "name"))
            except NotFound:
                _log.info("execution %s: no savepoint is named %r yet; its newest is taken", execution.id, name)
        savepoint_id = execution.head_savepoint_id
        while savepoint_id is not None:
            savepoint = await self._savepoints.get(execution.id, savepoint_id)
            # What this.error() decided it would decide again.
            if savepoint.call != "error":
                return savepoint
            savepoint_id = savepoint.parent_id
        return None
