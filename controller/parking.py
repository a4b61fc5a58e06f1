"""Parking: an execution that waits for long gives its container back, and gets another when its wait is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import faults
from controller.calls import Calls
from controller.endings import Endings
from controller.errors import FlowsnapError
from controller.live import Live, OpenCall
from controller.model import Execution, SavepointKind
from controller.ports import Database
from controller.recovery import Recovery
from controller.savepoints import Savepoints
from controller.services import Services

_LONGEST_LOOK_S = 1.0
_SHORTEST_LOOK_S = 0.05

_log = logging.getLogger(__name__)


class Parking:
    """Its waits go on in the controller, from the journal; only its process tree is put away, as a savepoint."""

    def __init__(
        self, services: Services, savepoints: Savepoints, endings: Endings, recovery: Recovery, calls: Calls
    ) -> None:
        self._services = services
        self._savepoints = savepoints
        self._endings = endings
        self._recovery = recovery
        self._calls = calls

    def start(self) -> None:
        """Look after those that wait, in the background, unless the configuration says no."""
        after_s = self._services.config.park_after_s
        if after_s is not None:
            self._services.background(self._look(after_s), "parking")

    async def expect(self, live: Live, execution: Execution) -> None:
        """An earlier controller parked it: carry its waits on, and wake it when one of them is over."""
        await self._calls.carry_on(live)
        head = execution.head_savepoint_id
        savepoint = None if head is None else await self._savepoints.get(execution.id, head)
        if savepoint is None or len(savepoint.open_calls) > len(live.calls):
            # One of them was over before.
            self._wake(live, live.container)
        self._wake_after(live, list(live.calls.values()))

    async def _look(self, after_s: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(_SHORTEST_LOOK_S, min(_LONGEST_LOOK_S, after_s / 4)))
            now = loop.time()
            for live in self._services.live:
                since = live.idle_since
                if since is None or now < max(since + after_s, live.park_not_before):
                    continue
                # Whoever holds the lock, or waits for it to bring a lost tree back, is not to wait for this.
                if live.attached.is_set() and not self._services.live.lock(live.execution_id).locked():
                    live.park_not_before = now + after_s
                    self._services.background(self._park(live, live.container), f"parking {live.execution_id}")

    async def _park(self, live: Live, container: int) -> None:
        async with self._services.live.lock(live.execution_id):
            if live.ended.is_set() or live.container != container or not self._is_idle(live):
                return
            try:
                await self._put_away(live)
            except FlowsnapError as error:
                _log.warning("execution %s can't be parked: %s", live.execution_id, error)
                await self._let_go_on(live)

    async def _put_away(self, live: Live) -> None:
        services = self._services
        link = await live.agent()
        taken = await link.savepoint(SavepointKind.PAUSE, leave_frozen=True, unless_unchanged=True, if_idle=True)
        if taken.busy:
            return
        savepoint = await self._savepoints.get(live.execution_id, taken.savepoint_id)
        # A call that the agent has and the controller does not would never be over.
        if not self._is_idle(live) or (live.paused_since is None and len(savepoint.open_calls) != len(live.calls)):
            await self._let_go_on(live)
            return
        waits = list(live.calls.values())
        faults.reach("controller.park.row.before")
        await services.db(Database.set_parked, live.execution_id, parked=True)
        faults.reach("controller.park.row.after")
        try:
            await self._endings.let_go(live)
        except FlowsnapError as error:
            if live.housed:
                await services.db(Database.set_parked, live.execution_id, parked=False)
                raise
            _log.warning("execution %s: parked, but not all it left is seen to: %s", live.execution_id, error)
        self._wake_after(live, waits)
        services.changes.notify(live.execution_id)

    async def _let_go_on(self, live: Live) -> None:
        """It was perhaps frozen, and is paused perhaps."""
        if live.link is None or live.paused_since is not None:
            return
        try:
            await live.link.thaw()
        except FlowsnapError as error:
            _log.warning("execution %s: %s", live.execution_id, error)

    def _is_idle(self, live: Live) -> bool:
        return live.idle_since is not None and live.loading is None

    def _wake_after(self, live: Live, waits: Sequence[OpenCall]) -> None:
        container = live.container
        for call in waits:
            call.task.add_done_callback(lambda _: self._wake(live, container))

    def _wake(self, live: Live, container: int) -> None:
        """Unless it was woken before, or ended; one that is paused is woken by resume."""
        if self._services.changes.closed or live.ended.is_set() or live.paused_since is not None:
            return
        if live.container == container:
            self._recovery.wake(live)
