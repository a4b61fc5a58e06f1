"""Recovery: an execution whose process tree was lost goes on from its newest savepoint, on the same branch.

It is no load: no branch begins, nothing is counted against the script, and calls that had completed keep their results.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

import faults
from controller.containers import Containers
from controller.endings import Endings
from controller.errors import DataLoss, FlowsnapError, ResourceExhausted, Unavailable
from controller.live import Live
from controller.loads import restored_record
from controller.losses import Loss
from controller.model import Execution, Savepoint, Status
from controller.ports import Database
from controller.restores import Restores
from controller.savepoints import Savepoints
from controller.services import Services

# What comes of an engine that is away or a disk that is full passes.
_PASSING = (Unavailable, ResourceExhausted)
_RETRY_S = 5.0
_RESTORES_AT_ONCE = 4
# A call that waits for nothing outside is done in a moment; so long is it left to that.
_CALL_LIMIT_S = 2.0

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Recovery:
    """Brings back what was lost, within limits, and what had given its container back."""

    def __init__(
        self,
        services: Services,
        savepoints: Savepoints,
        containers: Containers,
        endings: Endings,
        restores: Restores,
    ) -> None:
        self._services = services
        self._savepoints = savepoints
        self._containers = containers
        self._endings = endings
        self._restores = restores
        self._turn = asyncio.Semaphore(_RESTORES_AT_ONCE)

    def lost(self, live: Live, container: int, branch: int, loss: Loss) -> None:
        """Its process tree in that container, on that branch, is gone: see to it in the background."""
        self._services.background(self._recover(live, container, branch, loss), f"recovery of {live.execution_id}")

    def wake(self, live: Live) -> None:
        """It gave its container back, and what it waited for has come: see to it in the background."""
        self._services.background(self._wake(live, live.container), f"waking {live.execution_id}")

    async def bring_back_locked(self, live: Live, loss: Loss | None = None) -> None:
        """Holding the lock: a new container with the newest savepoint that can be restored.

        loss: said in its log, and counted; None: it gave its container back by itself. Raises what
        Restores.in_new_container raises; it has no container then.
        """
        services = self._services
        execution = await services.execution(live.execution_id)
        damaged: DataLoss | None = None
        async for savepoint in self._candidates(execution):
            try:
                # An older savepoint than before: the next controller has to know that calls were taken back.
                counted = damaged is not None if loss is None else self._counts(live)
                await self._go_on_from(live, execution, savepoint, counted=counted)
            except DataLoss as error:
                damaged = error
                await services.tell(live.execution_id, f"--- {error}; going on from the savepoint before ---")
                continue
            if loss is not None:
                place = f" (line {savepoint.line}, {savepoint.call})" if savepoint.call else ""
                mark = f"--- recovered from savepoint {savepoint.number}{place}: {loss.words} ---"
                await services.tell(live.execution_id, mark)
            return
        if damaged is not None:
            raise DataLoss(f"none of its savepoints can be restored; the oldest: {damaged}")
        await self._start_anew(live, execution, counted=loss is None or self._counts(live))
        await services.tell(live.execution_id, f"--- started anew: {'' if loss is None else loss.words} ---")

    def _counts(self, live: Live) -> bool:
        """The first time that it is asked for a loss."""
        known, live.loss_counted = live.loss_counted, True
        return not known

    async def _recover(self, live: Live, container: int, branch: int, loss: Loss) -> None:
        present = container
        while True:
            paused_s = await self._at(live, present, partial(self._clear, live, branch, loss))
            if paused_s is None:
                return
            present = live.container
            await asyncio.sleep(paused_s)
            failed = await self._at(live, present, partial(self._try, live, loss))
            if failed is None:
                return
            loss, present = failed, live.container

    async def _wake(self, live: Live, container: int) -> None:
        failed = await self._at(live, container, partial(self._try, live, None))
        if failed is not None:
            await self._recover(live, live.container, live.branch, failed)

    async def _at(self, live: Live, container: int, step: Callable[[], Awaitable[T | None]]) -> T | None:
        """Take the step when its turn comes, again and again while what hinders it passes.

        None: the step said so, or the execution ended, or somebody else saw to it, meanwhile.
        """
        while True:
            try:
                async with self._turn, self._services.live.lock(live.execution_id):
                    if live.ended.is_set() or live.container != container:
                        return None
                    return await step()
            except _PASSING as error:
                container = live.container
                _log.warning("execution %s can't be recovered yet: %s", live.execution_id, error)
            await asyncio.sleep(_RETRY_S)

    async def _clear(self, live: Live, branch: int, loss: Loss) -> float | None:
        """What is left of the lost tree goes, its last dumps into the store. Answers how long to wait, in seconds.

        None: there is nothing to bring back, or it has ended.
        """
        services, execution_id = self._services, live.execution_id
        if live.branch != branch:
            return None
        live.loss_counted = False
        await self._endings.let_go(live)
        faults.reach("controller.recovery.before")
        execution = await services.execution(execution_id)
        if execution.status is Status.PAUSED and execution.head_savepoint_id is not None:
            await services.db(Database.set_parked, execution_id, parked=True)
            words = f"{loss.words}; it goes on from its newest savepoint when it is resumed"
            await services.tell(execution_id, f"--- {words} ---")
            return None
        if not loss.blamed:
            return 0.0
        config = services.config
        strikes, own = await services.db(Database.count_strike, execution_id, own=loss.own)
        if strikes >= config.recovery_strikes:
            await self._give_up(live, execution, loss, strikes)
            return None
        if loss.own and own >= config.recovery_limit:
            words = f"{loss.words}; lost {own} times by its own doing, which is the limit (--recovery-limit)"
            await self._endings.end_locked(live, Status.ENDED_ERROR, f"{words}; {loss.advice}")
            return None
        return config.recovery_backoff_s[min(strikes, len(config.recovery_backoff_s)) - 1]

    async def _try(self, live: Live, loss: Loss | None) -> Loss | None:
        """Answers why it can't be restored. Raises what passes."""
        try:
            if live.paused_since is None:
                await self.bring_back_locked(live, loss)
        except _PASSING:
            raise
        except DataLoss as error:
            words = str(error) if loss is None else f"{loss.words}, and {error}"
            await self._endings.end_locked(live, Status.ENDED_ERROR, words)
        except FlowsnapError as error:
            return Loss(f"its newest savepoint can't be restored: {error}", own=False)
        return None

    async def _give_up(self, live: Live, execution: Execution, loss: Loss, strikes: int) -> None:
        words = loss.words
        if strikes > 1:
            head = execution.head_savepoint_id
            savepoint = None if head is None else await self._services.db(Database.savepoint, head)
            place = "before its first savepoint" if savepoint is None else f"after savepoint {savepoint.number}"
            words = f"{words}; lost {strikes} times in a row {place}"
        await self._endings.end_locked(live, Status.ENDED_ERROR, f"{words}; {loss.advice}")

    async def _candidates(self, execution: Execution) -> AsyncIterator[Savepoint]:
        """The newest savepoint, then those before it on its branch and where that began."""
        savepoint_id, on_branch = execution.head_savepoint_id, True
        while savepoint_id is not None and on_branch:
            savepoint = await self._savepoints.get(execution.id, savepoint_id)
            yield savepoint
            # Before the branch began calls were carried out that its journal does not have.
            on_branch = savepoint.branch == execution.branch
            savepoint_id = savepoint.parent_id

    async def _go_on_from(self, live: Live, execution: Execution, savepoint: Savepoint, *, counted: bool) -> None:
        services = self._services
        await self._take_back_calls(live, savepoint.last_seq)
        execution = await services.db(Database.begin_recovery, execution.id, savepoint.id, counted=counted)
        faults.reach("controller.recovery.row.after")
        live.recovered, live.head_savepoint_id = True, savepoint.id
        await services.db(Database.set_status, execution.id, (Status.NEW,), Status.RUNNING)
        record = await restored_record(services, execution)
        # Where a branch or a fork began, the open calls are those of before, carried out anew.
        begins = execution.forked_from is not None and savepoint.number == 1
        same = savepoint.branch == execution.branch and not begins
        await self._restores.in_new_container(live, execution, savepoint, live.branch, record, recovery=same)
        self._containers.watch(live)
        services.changes.notify(execution.id)

    async def _start_anew(self, live: Live, execution: Execution, *, counted: bool) -> None:
        """From the script's first line; what it had called before keeps its results."""
        await self._take_back_calls(live, 0)
        execution = await self._services.db(Database.begin_recovery, execution.id, None, counted=counted)
        live.recovered = True
        self._containers.begin(live, execution)

    async def _take_back_calls(self, live: Live, last_seq: int) -> None:
        """Those after last_seq: the flow is about to make them again, or others, and to count them otherwise."""
        later = [call for key, call in live.calls.items() if key.seq > last_seq]
        quick = [call.task for call in later if call.waiting is None]
        if quick:
            await asyncio.wait(quick, timeout=_CALL_LIMIT_S)
        live.recovering = True
        try:
            for call in later:
                call.task.cancel()
            await asyncio.gather(*(call.task for call in later), return_exceptions=True)
        finally:
            live.recovering = False
        await self._services.db(Database.lose_calls, live.execution_id, live.branch, last_seq)
