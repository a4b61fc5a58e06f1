"""Retention: removes in the background the savepoints that no rule keeps, and what the store has no more need of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from controller.errors import (
    FailedPrecondition,
    FlowsnapError,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from controller.model import Execution, KeepRule, KeepScope, Retention, Savepoint, SavepointTrace
from controller.ports import Collected, Database, ImageNeeds
from controller.services import Services
from controller.thinning import BUILT_IN, Size, exceeds, is_implicit, merged, superfluous
from controller.values import checked_name
from store.errors import StoreError

# Rows that go in one transaction, for which calls wait.
_BATCH = 50
# After so many removed savepoints, or so long after one, the store is collected.
_GARBAGE = 500
_COLLECT_EVERY_S = 600.0
# The disk is full: not more often than that.
_COLLECT_URGENTLY_EVERY_S = 10.0
# Commits of that time are looked at together.
_PAUSE_S = 0.5
# Ages change without a commit.
_LOOK_AT_ALL_EVERY_S = 3600.0
# An execution is looked at once per so many commits, as a part of how many are kept.
_PART = 20
_LARGEST = 2**63 - 1

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Account:
    """What an execution has had since it was looked at. rule: the merged one of then."""

    rule: KeepRule
    number: int
    size_bytes: int
    commits: int = 0

    @property
    def due(self) -> bool:
        often = max(1, (self.rule.newest or BUILT_IN.newest or 0) // _PART)
        return self.commits >= often or exceeds(self.rule, self.number, self.size_bytes)


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes, or would go, of one execution, by number."""

    execution: Execution
    savepoints: Sequence[SavepointTrace]
    left: _Account


@dataclass(frozen=True, slots=True)
class Garbage:
    """What a collection came to, or would come to."""

    removals: Sequence[Removal]
    removed_packs: int
    removed_bytes: int


class Retentions:
    """The rules, and their execution. Removal is row first, then image, then packs: each step can be the last one."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._accounts: dict[str, _Account] = {}
        self._due: set[str] = set()
        self._wake = asyncio.Event()
        self._all_due = True
        self._garbage = 0
        self._collected_at = 0.0
        self._room_wanted = False

    def start(self) -> None:
        """Look at all executions now and then, and at each after its commits, until the services close."""
        self._services.background(self._run_for_ever(), "retention")

    # --- what the rest of the core tells

    def committed(self, savepoint: Savepoint) -> None:
        """Costs the commit nothing: what there is to do happens later."""
        account = self._accounts.get(savepoint.execution_id)
        if account is not None:
            account.commits += 1
            account.number += 1
            account.size_bytes += savepoint.stored_bytes
            if not account.due:
                return
        self._due.add(savepoint.execution_id)
        self._wake.set()

    def room_wanted(self) -> None:
        """The disk is full, and somebody waits for room."""
        self._room_wanted = True
        self._wake.set()

    async def check_quota(self, execution_id: str, savepoint_id: str = "") -> None:
        """To be asked before a savepoint becomes one that no rule removes; empty: it is to be taken yet.

        Raises ResourceExhausted when with it those alone would exceed the execution's quota.
        """
        execution = await self._services.execution(execution_id)
        rule = await self.effective(execution)
        if not rule.max_number and not rule.max_bytes:
            return
        now = self._services.clock.now()
        traces = await self._services.read(Database.savepoint_traces, execution.id)
        staying = [one for one in traces if one.id == savepoint_id or not is_implicit(one, now)]
        size = Size(staying, await self._needs(rule, staying))
        if exceeds(rule, size.number + (not savepoint_id), size.bytes):
            raise ResourceExhausted(
                f"execution {execution.name!r}: its quota ({_quota_words(rule)}) has no room for a further savepoint"
                " that has a name or was asked for: no rule removes those; remove some (snapctl savepoint rm), or raise"
                " the quota (snapctl retention set)"
            )

    # --- rules

    async def save(self, retention: Retention) -> None:
        """Create or replace. Raises InvalidArgument, NotFound for an execution that is gone."""
        for field in fields(KeepRule):
            value = getattr(retention.rule, field.name)
            if value is not None and not 0 <= value <= _LARGEST:
                raise InvalidArgument(f"{field.name} is {value}: give a number from 1 on, or 0 for no limit")
        if retention.scope is KeepScope.FLOW:
            checked_name(retention.subject, "the flow's name")
        await self._services.db(Database.set_retention, retention)
        self._look_at_all()

    async def get(self, scope: KeepScope, subject: str) -> tuple[KeepRule, KeepRule]:
        """What it says itself, and what holds. Raises NotFound for an execution that is gone."""
        db = self._services.db
        if scope is KeepScope.EXECUTION:
            execution = await self._services.execution(subject)
            rules = await db(Database.retention_rules, execution.flow_name, execution.id)
        else:
            rules = await db(Database.retention_rules, subject, "")
        own = next((one.rule for one in rules if one.scope is scope), KeepRule())
        return own, merged(*(one.rule for one in reversed(rules)))

    async def list(self) -> Sequence[Retention]:
        """The default's, then those of flows and of executions."""
        return await self._services.db(Database.retentions)

    async def delete(self, scope: KeepScope, subject: str) -> None:
        """Raises NotFound."""
        if not await self._services.db(Database.delete_retention, scope, subject):
            whose = f"{scope.lower()} {subject!r}" if subject else "the default"
            raise NotFound(f"retention: {whose} has no rule; list the rules")
        self._look_at_all()

    async def effective(self, execution: Execution) -> KeepRule:
        """What holds for it, all fields given."""
        rules = await self._services.db(Database.retention_rules, execution.flow_name, execution.id)
        return merged(*(one.rule for one in reversed(rules)))

    # --- removal

    async def remove(self, execution: Execution, savepoints: Sequence[Savepoint]) -> None:
        """For good. Raises FailedPrecondition, with none removed, when one of them is in use."""
        needed = await self._needed(execution, await self._services.read(Database.savepoint_traces, execution.id))
        for savepoint in savepoints:
            if savepoint.id == execution.head_savepoint_id:
                why = "it is the one from which the execution goes on"
            elif savepoint.id in self._services.pins:
                why = "it is being read just now"
            elif savepoint.id in needed:
                why = "an undo goes back to it"
            else:
                continue
            raise FailedPrecondition(
                f"savepoint {savepoint.number} of execution {execution.name!r} can't be removed: {why}; none was"
                " removed"
            )
        removed = await self._remove(execution, [savepoint.id for savepoint in savepoints])
        kept = [str(savepoint.number) for savepoint in savepoints if savepoint.id not in removed]
        if kept:
            raise FailedPrecondition(
                f"execution {execution.name!r}: savepoints {', '.join(kept)} came into use in this moment and are kept"
            )

    async def apply(self, execution_id: str) -> Removal | None:
        """Remove what its rule does not keep. None: the execution is gone."""
        found = await self._superfluous(execution_id)
        if found is None:
            return None
        if self._services.live.get(execution_id) is None:
            self._accounts.pop(execution_id, None)
        else:
            self._accounts[execution_id] = found.left
        removed = set(await self._remove(found.execution, [savepoint.id for savepoint in found.savepoints]))
        return replace(found, savepoints=[one for one in found.savepoints if one.id in removed])

    async def collect(self, *, dry_run: bool) -> Garbage:
        """Apply the rules to all executions, then remove from the store what no savepoint needs.

        dry_run: say what would be removed, and change nothing.
        """
        removals = []
        for execution_id, _flow_name, _number in await self._services.read(Database.savepoint_counts):
            removal = await (self._superfluous if dry_run else self.apply)(execution_id)
            if removal is not None and removal.savepoints:
                removals.append(removal)
        going = {savepoint.id for removal in removals for savepoint in removal.savepoints}
        collected = await self._collect(going, dry_run=dry_run)
        return Garbage(removals, collected.removed_packs, collected.removed_bytes)

    async def _superfluous(self, execution_id: str) -> Removal | None:
        services = self._services
        execution = await services.db(Database.execution, execution_id)
        if execution is None:
            return None
        rule = await self.effective(execution)
        traces = await services.read(Database.savepoint_traces, execution.id)
        needed = await self._needed(execution, traces)
        needs = await self._needs(rule, traces)
        going = superfluous(rule, traces, needed, needs, services.clock.now())
        left = Size(traces, needs)
        for savepoint in going:
            left.without(savepoint)
        return Removal(execution, going, _Account(rule, left.number, left.bytes))

    async def _needs(self, rule: KeepRule, traces: Sequence[SavepointTrace]) -> Mapping[str, ImageNeeds]:
        """Of each, where there is a quota of bytes."""
        if not rule.max_bytes:
            return {}
        services = self._services
        return await services.in_store(services.store.needs, [savepoint.id for savepoint in traces])

    async def _needed(self, execution: Execution, traces: Sequence[SavepointTrace]) -> set[str]:
        services = self._services
        needed = {one.id for one in traces if one.id in services.pins}
        if execution.head_savepoint_id is not None:
            needed.add(execution.head_savepoint_id)
        newest_of = {one.branch: one.id for one in traces}
        for before, branch in await services.read(Database.needed_by_undo, execution.id):
            # An execution that had ended goes back to the newest savepoint of the branch on which it did.
            kept = before or newest_of.get(branch)
            if kept is not None:
                needed.add(kept)
        return needed

    async def _remove(self, execution: Execution, savepoint_ids: Sequence[str]) -> Sequence[str]:
        services = self._services
        removed: list[str] = []
        for first in range(0, len(savepoint_ids), _BATCH):
            batch = [one for one in savepoint_ids[first : first + _BATCH] if one not in services.pins]
            # An image without a row is garbage; a row without an image would be a promise not kept.
            gone = await services.db(Database.remove_savepoints, execution.id, batch)
            self._garbage += len(gone)
            removed += gone
            await services.in_store(_delete_images, services, gone)
        if removed:
            _log.info("execution %s: %d savepoints removed", execution.id, len(removed))
            services.changes.notify(execution.id)
        return removed

    # --- in the background

    async def _run_for_ever(self) -> None:
        clock = asyncio.get_running_loop().time
        all_due_at = self._collected_at = clock()
        while True:
            self._wake.clear()
            if self._all_due or clock() >= all_due_at:
                all_due_at = clock() + _LOOK_AT_ALL_EVERY_S
                self._all_due = False
                await self._attempt(self._find_overfull())
            while self._due:
                await self._attempt(self.apply(self._due.pop()))
            if self._collection_is_due(clock()):
                self._collected_at = clock()
                await self._attempt(self._collect((), dry_run=False))
            await asyncio.sleep(_PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_COLLECT_EVERY_S if self._garbage else _LOOK_AT_ALL_EVERY_S):
                    await self._wake.wait()

    async def _attempt(self, work: Coroutine[Any, Any, object]) -> None:
        """What failed is due again with the next commit, or when all are looked at."""
        try:
            await work
        except (FlowsnapError, StoreError) as error:
            _log.warning("retention: %s", error)

    def _look_at_all(self) -> None:
        self._accounts.clear()
        self._all_due = True
        self._wake.set()

    async def _find_overfull(self) -> None:
        """Executions for which a rule may have something to say."""
        rules = {(one.scope, one.subject): one.rule for one in await self.list()}
        default = rules.get((KeepScope.DEFAULT, ""), KeepRule())
        for execution_id, flow_name, number in await self._services.read(Database.savepoint_counts):
            own = rules.get((KeepScope.EXECUTION, execution_id), KeepRule())
            rule = merged(own, rules.get((KeepScope.FLOW, flow_name), KeepRule()), default)
            if rule.max_age_s or rule.max_bytes or rule.max_number or (rule.newest and number > rule.newest):
                self._due.add(execution_id)

    def _collection_is_due(self, now: float) -> bool:
        if not self._garbage:
            return False
        if self._room_wanted:
            return now - self._collected_at >= _COLLECT_URGENTLY_EVERY_S
        return self._garbage >= _GARBAGE or now - self._collected_at >= _COLLECT_EVERY_S

    async def _collect(self, going: Collection[str], *, dry_run: bool) -> Collected:
        """going: savepoints that are looked at as removed already."""
        services = self._services
        if not dry_run:
            self._garbage, self._room_wanted = 0, False
        live_ids = set(await services.db(Database.savepoint_ids)) - set(going)
        try:
            return await services.in_store(services.store.collect, live_ids, dry_run=dry_run, removed_ids=going)
        except StoreError as error:
            raise Internal(f"the store could not be collected: {error}") from error


def _delete_images(services: Services, savepoint_ids: Sequence[str]) -> None:
    for savepoint_id in savepoint_ids:
        services.store.delete(savepoint_id)


def _quota_words(rule: KeepRule) -> str:
    limits = ((rule.max_number, "savepoints"), (rule.max_bytes, "bytes"))
    return ", ".join(f"{limit} {unit}" for limit, unit in limits if limit)
