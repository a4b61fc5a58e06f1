"""Recovery: what a controller that starts does with the executions that an earlier one left running."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence

from controller.containers import Containers
from controller.endings import Endings
from controller.errors import FlowsnapError, Unavailable
from controller.live import REATTACH_LIMIT_S, Live
from controller.loads import Loads, Request
from controller.model import Execution, ExecutionType, Status
from controller.pauses import Pauses
from controller.ports import Database
from controller.savepoints import Savepoints, Selector
from controller.services import NOT_ENDED, Services

_ENGINE_RETRY_S = 5.0
_PAGE = 1000
_RESTORES_AT_ONCE = 4

_log = logging.getLogger(__name__)


class Recovery:
    """Finds agents that still run, restores the executions of those that don't, and sweeps what ended ones left."""

    def __init__(
        self,
        services: Services,
        savepoints: Savepoints,
        containers: Containers,
        endings: Endings,
        loads: Loads,
        pauses: Pauses,
    ) -> None:
        self._services = services
        self._savepoints = savepoints
        self._containers = containers
        self._endings = endings
        self._loads = loads
        self._pauses = pauses
        self._turn = asyncio.Semaphore(_RESTORES_AT_ONCE)

    async def adopt(self) -> Sequence[Live]:
        """Expect the agents of all executions that have, or are to get, one. To be done before agents can attach."""
        adopted: list[Live] = []
        last = ""
        while True:
            page = await self._services.db(Database.list_executions, NOT_ENDED, "", _PAGE, last)
            adopted.extend(
                self._services.live.add(execution)
                for execution in page
                if execution.type is not ExecutionType.TASK and not execution.held
            )
            if len(page) < _PAGE:
                return adopted
            last = page[-1].id

    def begin(self, adopted: Sequence[Live]) -> None:
        """See to each of them, and to what ended ones left, in the background."""
        for live in adopted:
            self._services.background(self._recover(live), f"recovery of {live.execution_id}")
        self._services.background(self._sweep({live.execution_id for live in adopted}), "sweep of ended containers")

    async def _recover(self, live: Live) -> None:
        if await self._came_back(live):
            self._containers.watch(live)
            # A load that the earlier controller had begun left the tree frozen.
            execution = await self._services.execution(live.execution_id)
            if live.link is not None and live.attached_running and execution.status is not Status.PAUSED:
                await live.link.thaw()
            return
        while True:
            try:
                async with self._turn, self._services.live.lock(live.execution_id):
                    execution = await self._services.execution(live.execution_id)
                    if execution.status.ended:
                        return
                    await self._bring_back(live, execution)
            except Unavailable as error:
                _log.warning("execution %s can't be recovered yet: %s", live.execution_id, error)
                await asyncio.sleep(_ENGINE_RETRY_S)
            else:
                break
        if execution.status is Status.PAUSED and execution.head_savepoint_id is not None:
            await self._pauses.pause(execution.id)

    async def _came_back(self, live: Live) -> bool:
        """Whether its agent attached, with the tree that the records know."""
        attaching = asyncio.ensure_future(live.attached.wait())
        ending = asyncio.ensure_future(self._services.launcher.wait_end(live.execution_id))
        try:
            await asyncio.wait({attaching, ending}, timeout=REATTACH_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            attaching.cancel()
            ending.cancel()
            await asyncio.gather(attaching, ending, return_exceptions=True)
        # A tree of another branch was restored by a load that was never recorded.
        return live.attached.is_set() and (not live.attached_running or live.attached_branch == live.branch)

    async def _bring_back(self, live: Live, execution: Execution) -> None:
        """Holding the lock. Raises Unavailable when it may work later."""
        services = self._services
        await services.launcher.remove(execution.id)
        await self._savepoints.commit_left_over(execution.id)
        execution = await services.execution(execution.id)
        if execution.head_savepoint_id is None:
            live.attached.clear()
            if execution.last_call:
                words = "its container was lost with no savepoint to go on from; create it again"
                await self._end(live, words)
            else:
                self._containers.begin(live, execution)
            return
        services.live.drop(live)
        request = Request("recovery", Selector(execution.head_savepoint_id, "id"))
        try:
            await self._loads.load_locked(execution.id, request)
        except Unavailable:
            raise
        except FlowsnapError as error:
            words = f"its container was lost, and its newest savepoint can't be restored: {error}; load an older one"
            await services.db(Database.set_status, execution.id, NOT_ENDED, Status.ENDED_ERROR, words)
            services.changes.notify(execution.id)

    async def _end(self, live: Live, words: str) -> None:
        await self._endings.end_locked(live, Status.ENDED_ERROR, words)

    async def _sweep(self, adopted: set[str]) -> None:
        """Containers and folders of executions that had ended before, or were deleted."""
        services = self._services
        left = set(await services.launcher.list_executions())
        left |= {entry.name for entry in services.config.agents.iterdir()}
        for execution_id in left - adopted:
            async with services.live.lock(execution_id):
                if services.live.get(execution_id) is None:
                    await services.launcher.remove(execution_id)
                    await services.in_file(shutil.rmtree, services.agent_dir(execution_id), ignore_errors=True)
