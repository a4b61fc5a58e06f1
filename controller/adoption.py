"""Adoption: what a controller that starts does with the executions that an earlier one left running."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence

from controller.calls import Calls
from controller.containers import Containers
from controller.endings import Endings
from controller.errors import FlowsnapError
from controller.live import REATTACH_LIMIT_S, Live
from controller.losses import Loss
from controller.model import ExecutionType, Status
from controller.parking import Parking
from controller.ports import Database
from controller.recovery import Recovery
from controller.retries import Retries
from controller.services import NOT_ENDED, Services

_PAGE = 1000
_ENGINE_RETRY_S = 1.0
_LOST = Loss("its container was lost while no controller ran", blamed=False, own=False)

_log = logging.getLogger(__name__)


class Adoption:
    """Finds agents that still run, hands those that don't to recovery, and sweeps what ended executions left."""

    def __init__(
        self,
        services: Services,
        containers: Containers,
        endings: Endings,
        calls: Calls,
        recovery: Recovery,
        retries: Retries,
        parking: Parking,
    ) -> None:
        self._services = services
        self._containers = containers
        self._calls = calls
        self._recovery = recovery
        self._retries = retries
        self._parking = parking
        self._endings = endings
        self._ended: list[Live] = []

    async def adopt(self) -> Sequence[Live]:
        """Expect the agents of all executions that have, or are to get, one. To be done before agents can attach.

        Those that had ended and left a folder are known until begin has their last dumps committed.
        """
        adopted: list[Live] = []
        last = ""
        while True:
            page = await self._services.db(Database.list_executions, NOT_ENDED, "", _PAGE, last)
            for execution in page:
                if execution.type is not ExecutionType.TASK and not execution.held:
                    live = self._services.live.add(execution)
                    if execution.status is Status.PAUSED:
                        live.paused_since = asyncio.get_running_loop().time()
                    if execution.retry_at is None and not execution.parked:
                        live.house(restoring=False)
                    adopted.append(live)
            if len(page) < _PAGE:
                break
            last = page[-1].id
        await self._expect_ended()
        return adopted

    async def _expect_ended(self) -> None:
        services = self._services
        for entry in list(services.config.agents.iterdir()):
            if services.live.get(entry.name) is not None:
                continue
            execution = await services.db(Database.execution, entry.name)
            if execution is not None and execution.status.ended:
                live = services.live.add(execution)
                live.ended.set()
                self._ended.append(live)

    def begin(self, adopted: Sequence[Live]) -> None:
        """See to each of them, and to what ended ones left, in the background."""
        for live in adopted:
            self._services.background(self._find(live), f"adoption of {live.execution_id}")
        for live in self._ended:
            self._endings.release(live)
        self._ended.clear()
        self._services.background(
            self._sweep({live.execution_id for live in adopted if live.housed}), "sweep of containers"
        )

    async def _find(self, live: Live) -> None:
        execution = await self._services.execution(live.execution_id)
        if execution.retry_at is not None:
            self._retries.expect(live)
            return
        if not live.housed:
            await self._parking.expect(live, execution)
            return
        if not await self._came_back(live):
            if execution.status is Status.PAUSED:
                # Nothing asks for its calls until it is resumed, and by then they are to know of that.
                await self._calls.carry_on(live)
            self._recovery.lost(live, live.container, live.branch, _LOST)
            return
        self._containers.watch(live)
        # A load that the earlier controller had begun left the tree frozen.
        if live.link is not None and live.attached_running and execution.status is not Status.PAUSED:
            await live.link.thaw()

    async def _came_back(self, live: Live) -> bool:
        """Whether its agent attached, with the tree that the records know."""
        attaching = asyncio.ensure_future(live.attached.wait())
        ending = asyncio.ensure_future(self._containers.end(live.execution_id))
        try:
            while True:
                await asyncio.wait({attaching, ending}, timeout=REATTACH_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
                # Nothing can be done about one that does not attach while the engine is away; it may still come.
                if attaching.done() or ending.done() or await self._engine_answers():
                    break
        finally:
            attaching.cancel()
            ending.cancel()
            await asyncio.gather(attaching, ending, return_exceptions=True)
        if not live.attached.is_set():
            return False
        if live.attached_running:
            # A tree of another branch was restored by a load that was never recorded.
            return live.attached_branch == live.branch
        # A fresh one was to restore a savepoint; any other reports how its process ended.
        return not live.attached_fresh or live.head_savepoint_id is None

    async def _engine_answers(self) -> bool:
        try:
            await self._services.launcher.list_executions()
        except FlowsnapError:
            return False
        return True

    async def _sweep(self, housed: set[str]) -> None:
        """However long the engine refuses: nobody else would remove what is left."""
        while True:
            try:
                return await self._sweep_once(housed)
            except FlowsnapError as error:
                _log.warning("the sweep of containers is tried again: %s", error)
            await asyncio.sleep(_ENGINE_RETRY_S)

    async def _sweep_once(self, housed: set[str]) -> None:
        """Containers and folders of executions that were deleted, or gave their containers back; of ended ones without
        a folder, too.
        """
        services = self._services
        left = set(await services.launcher.list_executions())
        left |= {entry.name for entry in services.config.agents.iterdir()}
        for execution_id in left - housed:
            async with services.live.lock(execution_id):
                live = services.live.get(execution_id)
                if live is not None and not live.housed and not live.ended.is_set():
                    await self._endings.let_go(live)
                elif live is None:
                    await services.launcher.remove(execution_id)
                    await services.in_file(shutil.rmtree, services.agent_dir(execution_id), ignore_errors=True)
