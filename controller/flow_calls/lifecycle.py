"""success, error, cancel, pause, resume, sleep: how an execution ends and how it waits."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from controller.cancels import Cancels
from controller.endings import Endings
from controller.errors import FailedPrecondition
from controller.executions import check_retry_rule
from controller.flow_calls.call import FlowCall, Handler
from controller.model import LATEST, Outcome, RetryRule, Status
from controller.pauses import Pauses
from controller.ports import Database
from controller.services import Services
from controller.values import finite_number
from controller.waits import left_s, waiting

# The host's clock may jump.
_CLOCK_LOOKED_AT_EVERY_S = 10.0


class LifecycleCalls:
    """Calls that change the status of the execution that calls, or of one that it names."""

    def __init__(self, services: Services, endings: Endings, pauses: Pauses, cancels: Cancels) -> None:
        self._services = services
        self._endings = endings
        self._pauses = pauses
        self._cancels = cancels

    def handlers(self) -> dict[str, Handler]:
        return {
            "success": self.success,
            "error": self.error,
            "cancel": self.cancel,
            "pause": self.pause,
            "resume": self.resume,
            "sleep": self.sleep,
            "sleep_until": self.sleep_until,
            "retry": self.retry,
        }

    async def success(self, call: FlowCall) -> Outcome:
        return await self._end(call, Status.ENDED_SUCCESS)

    async def error(self, call: FlowCall) -> Outcome:
        return await self._end(call, Status.ENDED_ERROR)

    async def cancel(self, call: FlowCall) -> Outcome | None:
        """Of itself it has the savepoint of this call; another one gets a last savepoint, and may have ended."""
        services, execution_id = self._services, call.text("execution", default=call.execution_id)
        if execution_id != call.execution_id:
            try:
                await self._cancels.cancel(execution_id, call.text("message", default=""))
            except FailedPrecondition:
                if not (await services.execution(execution_id)).status.ended:
                    raise
            return None
        outcome = await self._end(call, Status.ENDED_CANCELLED)
        if outcome.end:
            execution = await services.execution(execution_id)
            services.background(self._cancels.cancel_children(execution), f"cancel of the children of {execution_id}")
        return outcome

    async def pause(self, call: FlowCall) -> None:
        """Of itself: returns when someone has resumed it."""
        services, execution_id = self._services, call.text("execution", default=call.execution_id)
        if execution_id != call.execution_id:
            try:
                await self._pauses.pause(execution_id)
            except FailedPrecondition as error:
                if not await self._is_paused(execution_id):
                    raise call.invalid(str(error)) from error
            return
        with services.changes.watch(execution_id) as changed:
            try:
                await self._pauses.pause(execution_id, branch=call.call.key.branch)
            except FailedPrecondition:
                # Somebody else paused it in the same moment, or before its controller was started anew.
                if not await self._is_paused(execution_id):
                    raise
            changed.clear()
            while await self._is_paused(execution_id):
                await changed.wait()
                changed.clear()

    async def resume(self, call: FlowCall) -> None:
        """One that is not paused goes on as it does."""
        execution_id = call.text("execution")
        try:
            await self._pauses.resume(execution_id)
        except FailedPrecondition as error:
            execution = await self._services.execution(execution_id)
            if execution.status.ended or execution.status is Status.NEW:
                raise call.invalid(str(error)) from error

    async def retry(self, call: FlowCall) -> None:
        """Retries that were made before count: a script that sets its rule after each of them comes to an end, too."""
        retries = call.argument("retries")
        if isinstance(retries, bool) or not isinstance(retries, int):
            raise call.invalid(f"the retries have to be a whole number, not {retries!r}")
        rule = RetryRule(retries, call.text("savepoint", default=LATEST), call.seconds("backoff") or 0.0)
        await self._services.db(Database.set_retry_rule, call.execution_id, check_retry_rule(rule))

    async def sleep(self, call: FlowCall) -> None:
        seconds = finite_number(call.argument("seconds"))
        if seconds is None or seconds < 0:
            raise call.invalid(f"the seconds have to be a number of at least 0, not {call.args['seconds']!r}")
        async with waiting(self._services, call, Status.SLEEPING):
            await asyncio.sleep(left_s(self._services, call, seconds))

    async def sleep_until(self, call: FlowCall) -> None:
        """A time that has passed is not waited for. It is the clock's: one that is set moves the end."""
        time = self._time(call)
        async with waiting(self._services, call, Status.SLEEPING):
            while (left_s := (time - self._services.clock.now()).total_seconds()) > 0:  # noqa: ASYNC110  the clock's
                await asyncio.sleep(min(left_s, _CLOCK_LOOKED_AT_EVERY_S))

    def _time(self, call: FlowCall) -> datetime:
        """Seconds since 1970, or ISO 8601; a time without zone is in UTC."""
        given = call.argument("time")
        try:
            if (seconds := finite_number(given)) is not None:
                return datetime.fromtimestamp(seconds, UTC)
            time = datetime.fromisoformat(given)
        except (TypeError, ValueError, OverflowError, OSError) as error:
            raise call.invalid(
                f"the time has to be seconds since 1970, a datetime or ISO 8601 text, not {given!r}: {error}"
            ) from error
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    async def _is_paused(self, execution_id: str) -> bool:
        return (await self._services.execution(execution_id)).status is Status.PAUSED

    async def _end(self, call: FlowCall, status: Status) -> Outcome:
        message = call.text("message", default="")
        ended = await self._endings.end(call.live, status, message, branch=call.call.key.branch)
        return Outcome(halt=True, end=ended)
