"""Waits inside calls: the execution's status says what it waits for, as long as one of its calls does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.flow_calls.call import FlowCall
from controller.model import Status
from controller.ports import Database
from controller.services import Services


def left_s(services: Services, call: FlowCall, seconds: float) -> float:
    """What is left of a wait of so many seconds since the call was made, however often it was begun again since."""
    passed_s = (services.clock.now() - call.call.started_at).total_seconds()
    # A clock that was set back makes no wait longer than it was meant to be.
    return min(seconds, max(0.0, seconds - passed_s))


def time_limit(services: Services, call: FlowCall, seconds: float | None) -> asyncio.Timeout:
    """asyncio.timeout for a wait of at most so many seconds since the call was made; None: without an end."""
    return asyncio.timeout(None if seconds is None else left_s(services, call, seconds))


@asynccontextmanager
async def waiting(services: Services, call: FlowCall, status: Status) -> AsyncIterator[None]:
    """Within the block the execution of the call has this status, unless it was paused or ended meanwhile.

    A call that is called off leaves the status to whoever called it off: a load, or the end.
    """
    mine = call.live.calls[call.call.key]
    mine.waiting, mine.waiting_since = status, asyncio.get_running_loop().time()
    try:
        await _set_status(services, call.execution_id, Status.RUNNING, status)
        yield
    except asyncio.CancelledError:
        mine.waiting = None
        raise
    except BaseException:
        await _end_wait(services, call, status)
        raise
    await _end_wait(services, call, status)


async def _end_wait(services: Services, call: FlowCall, status: Status) -> None:
    live = call.live
    live.calls[call.call.key].waiting = None
    # Another thread's call may still wait, for the same or for something else.
    await _set_status(services, call.execution_id, status, live.waiting or Status.RUNNING)


async def _set_status(services: Services, execution_id: str, expected: Status, status: Status) -> None:
    """Does nothing when it is another by now: paused, or ended."""
    if expected is not status and await services.db(Database.set_status, execution_id, (expected,), status):
        services.changes.notify(execution_id)
