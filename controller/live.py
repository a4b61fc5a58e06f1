"""What the controller holds in memory of the executions that have, or are about to get, a container."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from controller.errors import Unavailable
from controller.model import CallKey, Execution, Json, Outcome, Savepoint, Status
from controller.ports import AgentLink

# A new container's agent has that long; one that was there before only has to find its controller again.
ATTACH_LIMIT_S = 60.0
REATTACH_LIMIT_S = 10.0
# An agent has 2 s for its farewell; then the engine has to kill and remove.
CLEAN_UP_LIMIT_S = 30.0


@dataclass(eq=False, slots=True)
class OpenCall:
    """A call under way. waiting: the status that its wait gives the execution, inside of it."""

    name: str
    task: asyncio.Task[Outcome]
    waiting: Status | None = None
    waiting_since: float = 0.0  # of the event loop's clock


@dataclass(eq=False, slots=True)
class Live:
    """One execution that has not ended. Between two containers it has none: its calls go on, its link is None."""

    execution_id: str
    branch: int
    # Counts its containers up; odd: it has, or is getting, one. A report of an earlier one says nothing.
    container: int = 0
    containers: int = 0  # how many it has had
    # The tree comes from a savepoint: its agent waits for a restore instead of a script.
    restoring: bool = False
    link: AgentLink | None = None
    criu_version: str = ""
    # What its agent said when it attached: whether it has a tree, and of which branch.
    attached_running: bool = False
    attached_branch: int = 0
    attached_fresh: bool = False
    attached: asyncio.Event = field(default_factory=asyncio.Event)
    detached: asyncio.Event = field(default_factory=asyncio.Event)
    # Recorded as ended: the container is going.
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    calls: dict[CallKey, OpenCall] = field(default_factory=dict)
    # Set while a load is under way: calls of the coming branch wait for it.
    loading: asyncio.Future[None] | None = None
    # The newest savepoint on the way that the tree came: most of the next image is found there.
    head_savepoint_id: str | None = None
    # By image folder: a repeated commit joins the first.
    commits: dict[str, asyncio.Task[Savepoint]] = field(default_factory=dict)
    # The recorded output value, parsed, in a box; None: to be read from the records.
    output: tuple[Any] | None = None
    # By a call's seq: what it was before that call changed it, which is what the savepoint at the call keeps.
    output_before: dict[int, Json] = field(default_factory=dict)
    output_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    starting: asyncio.Task[None] | None = None
    watching: asyncio.Task[None] | None = None
    cleaning: asyncio.Task[None] | None = None
    restore_us: int = 0
    told_store_full: bool = False
    # Since when it is paused, and when it may be looked at for parking again; of the event loop's clock.
    paused_since: float | None = None
    park_not_before: float = 0.0
    # It was recovered on this branch: the journal may have calls that the flow makes again.
    recovered: bool = False
    # The present loss was counted: it is one, however often it is tried to bring the execution back.
    loss_counted: bool = False
    # Calls that are called off now will be carried on: they keep their places in queues.
    recovering: bool = False

    @property
    def housed(self) -> bool:
        """It has a container, or is getting one."""
        return self.container % 2 == 1

    def house(self, *, restoring: bool) -> None:
        """It is about to get a container."""
        self.unhouse()
        self.containers += 1
        self.container = 2 * self.containers - 1
        self.restoring = restoring

    def unhouse(self) -> None:
        """Its container is gone, or as good as gone."""
        if not self.housed:
            return
        self.container += 1
        self.restoring = False
        self.attached.clear()
        self.detached.clear()
        link, self.link = self.link, None
        if link is not None:
            link.close()
        watching, self.watching = self.watching, None
        if watching is not None:
            watching.cancel()

    def loading_over(self) -> None:
        """What waits for the load finds out on which branch the execution is."""
        loading, self.loading = self.loading, None
        if loading is not None:
            loading.set_result(None)

    def cancel_calls(self) -> None:
        """Stop carrying out the open calls, except the one that asks for it."""
        asking = asyncio.current_task()
        for call in self.calls.values():
            if call.task is not asking:
                call.task.cancel()

    @property
    def waiting(self) -> Status | None:
        """What one of its calls waits for; None: none of them waits."""
        return next((call.waiting for call in self.calls.values() if call.waiting is not None), None)

    async def cleaned_up(self) -> None:
        """Once its container is gone. Raises Unavailable when the engine does not remove it."""
        if self.cleaning is None:
            return
        await asyncio.wait({self.cleaning}, timeout=CLEAN_UP_LIMIT_S)
        if not self.cleaning.done():
            raise Unavailable(
                f"execution {self.execution_id}: its last container can't be removed yet; see whether the Docker engine"
                " answers (snapctl doctor), and try again"
            )

    @property
    def idle_since(self) -> float | None:
        """Since when nothing but waits is going on; None: something is."""
        if self.paused_since is not None:
            return self.paused_since
        if not self.calls or any(call.waiting is None for call in self.calls.values()):
            return None
        return max(call.waiting_since for call in self.calls.values())

    async def agent(self, limit_s: float = REATTACH_LIMIT_S) -> AgentLink:
        """The link to its agent, once there is one. Raises Unavailable."""
        if not self.housed:
            raise Unavailable(f"execution {self.execution_id}: it has no container at this moment; try again")
        try:
            async with asyncio.timeout(limit_s):
                await self.attached.wait()
        except TimeoutError as error:
            raise Unavailable(
                f"execution {self.execution_id}: its agent did not attach within {limit_s:g} s; look at its"
                " container's log"
            ) from error
        if self.link is None:
            raise Unavailable(f"execution {self.execution_id}: its container ended; try again")
        if self.attached_running and self.attached_branch != self.branch:
            # The controller died between the swap and its record: the tree is about to be replaced.
            raise Unavailable(
                f"execution {self.execution_id}: what runs is of a load that was never recorded, and its newest"
                " savepoint is being restored; try again"
            )
        return self.link


class LiveTable:
    """All of them by execution id, and a lock per execution."""

    def __init__(self) -> None:
        self._live: dict[str, Live] = {}
        # Held by whoever changes which tree an execution has: start, load, pause, end. Gone when nobody holds one.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, execution_id: str) -> asyncio.Lock:
        lock = self._locks.get(execution_id)
        if lock is None:
            lock = self._locks[execution_id] = asyncio.Lock()
        return lock

    def add(self, execution: Execution) -> Live:
        live = self._live[execution.id] = Live(
            execution.id,
            execution.branch,
            head_savepoint_id=execution.head_savepoint_id,
            recovered=execution.recovery_count > 0,
        )
        return live

    def get(self, execution_id: str) -> Live | None:
        return self._live.get(execution_id)

    def drop(self, live: Live) -> None:
        if self._live.get(live.execution_id) is live:
            del self._live[live.execution_id]

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._live.values()))
