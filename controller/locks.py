"""Locks: every setting's name is one too. A lock is held by an execution, and outlives it.

Who waits is served in the order of asking; the queue is in the records, so a restart of the controller changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from controller.errors import NotFound
from controller.flow_calls.call import CallFailed, FlowCall
from controller.model import Lock, Status
from controller.ports import Database
from controller.services import Services
from controller.waits import time_limit, waiting


class Locks:
    """Acquired and released by flows; listed and taken away by operators."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def acquire(self, call: FlowCall, name: str, timeout_s: float | None) -> None:
        """Returns when the execution holds the lock; at once when it does already. None waits without an end.

        A wait that is called off, by a load for instance, gives its place up.
        """
        services, key = self._services, call.call.key
        with services.changes.watch(_topic(name, call.execution_id)) as changed:
            request = await services.db(Database.request_lock, name, key)
            if request.granted:
                return
            try:
                async with waiting(services, call, Status.WAITING_LOCK), time_limit(services, call, timeout_s):
                    while not request.granted:
                        await changed.wait()
                        changed.clear()
                        request = await services.db(Database.request_lock, name, key)
            except TimeoutError as error:
                if await services.db(Database.withdraw_lock, name, key):
                    return
                raise CallFailed(
                    "LockTimeoutError",
                    f"{name!r} is locked by execution {request.holder} and was not released within {timeout_s:g} s",
                ) from error
            except asyncio.CancelledError:
                # A controller that ends keeps the place in the queue for the next one, and so does a recovery.
                if not services.changes.closed and not call.live.recovering:
                    services.background(self._call_off(call, name), f"leaving the queue of lock {name!r}")
                raise

    async def release(self, call: FlowCall, name: str, to: str) -> bool:
        """Give the lock to the execution `to`, else to who waits longest. False: nothing was there to be released.

        Whose lock is held by an execution that has ended may be released by any other. Raises CallFailed.
        """
        services, key = self._services, call.call
        if to:
            await self._check_heir(call, to)
        while (lock := await services.db(Database.lock, name)) is not None:
            if lock.execution_id != call.execution_id:
                if key.redo_of_savepoint_id or lock.handed_by == key.idempotency_key:
                    return False  # this very call, or the same one before a load, released it
                await self._check_abandoned(lock)
            holder = await services.db(
                Database.release_lock, name, lock.execution_id, to=to, handed_by=key.idempotency_key
            )
            if holder is not None:
                services.changes.notify(_topic(name, holder))
                return True
        return False

    async def list(self) -> Sequence[tuple[Lock, Sequence[str]]]:
        """By name, each with the executions that wait for it, the next one first."""
        return await self._services.db(Database.locks)

    async def take_away(self, name: str) -> str:
        """Release it, whoever holds it; answers the execution that has it now, empty: none. Raises NotFound."""
        services = self._services
        while (lock := await services.db(Database.lock, name)) is not None:
            holder = await services.db(Database.release_lock, name, lock.execution_id)
            if holder is not None:
                services.changes.notify(_topic(name, holder))
                return holder
        raise NotFound(f"{name!r} is not locked; see `snapctl lock ls`")

    async def _call_off(self, call: FlowCall, name: str) -> None:
        holder = await self._services.db(Database.call_off_lock, name, call.call.key)
        if holder:
            self._services.changes.notify(_topic(name, holder))

    async def _check_heir(self, call: FlowCall, to: str) -> None:
        heir = await self._services.db(Database.execution, to)
        if heir is None or heir.status.ended:
            state = "there is no such execution" if heir is None else f"it is {heir.status}"
            raise call.invalid(f"the lock can't be handed to execution {to!r}: {state}")

    async def _check_abandoned(self, lock: Lock) -> None:
        holder = await self._services.db(Database.execution, lock.execution_id)
        if holder is not None and not holder.status.ended:
            raise CallFailed(
                "PermissionDenied",
                f"{lock.name!r} is locked by execution {lock.execution_id}, which is {holder.status}; only that one can"
                " release it, or an operator by `snapctl lock release`",
            )


def _topic(name: str, execution_id: str) -> str:
    """What is told to those who watch for this lock to become this execution's."""
    return f"lock {execution_id} {name}"
