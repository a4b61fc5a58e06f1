"""success, error, sleep: how an execution ends and how it waits."""

from __future__ import annotations

import asyncio

from controller.endings import Endings
from controller.flow_calls.call import FlowCall, Handler
from controller.model import Outcome, Status
from controller.ports import Database
from controller.services import Services
from controller.values import finite_number


class LifecycleCalls:
    """Calls that change the status of the execution that calls."""

    def __init__(self, services: Services, endings: Endings) -> None:
        self._services = services
        self._endings = endings

    def handlers(self) -> dict[str, Handler]:
        return {"success": self.success, "error": self.error, "sleep": self.sleep}

    async def success(self, call: FlowCall) -> Outcome:
        return await self._end(call, Status.ENDED_SUCCESS)

    async def error(self, call: FlowCall) -> Outcome:
        return await self._end(call, Status.ENDED_ERROR)

    async def sleep(self, call: FlowCall) -> None:
        seconds = finite_number(call.argument("seconds"))
        if seconds is None or seconds < 0:
            raise call.invalid(f"the seconds have to be a number of at least 0, not {call.args['seconds']!r}")
        live, execution_id = call.live, call.execution_id
        mine = live.calls[call.call.key]
        mine.sleeping = True
        try:
            await self._set_status(execution_id, Status.RUNNING, Status.SLEEPING)
            await asyncio.sleep(seconds)
        finally:
            mine.sleeping = False
        if not live.sleeping:
            await self._set_status(execution_id, Status.SLEEPING, Status.RUNNING)

    async def _set_status(self, execution_id: str, expected: Status, status: Status) -> None:
        """Does nothing when it is another by now: paused, or ended."""
        if await self._services.db(Database.set_status, execution_id, (expected,), status):
            self._services.changes.notify(execution_id)

    async def _end(self, call: FlowCall, status: Status) -> Outcome:
        message = call.text("message", default="")
        ended = await self._endings.end(call.live, status, message, branch=call.call.key.branch)
        return Outcome(halt=True, end=ended)
