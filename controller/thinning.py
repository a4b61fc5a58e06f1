"""Thinning: which savepoints of an execution a rule does not keep. Nothing here removes anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta

from controller.model import KeepRule, SavepointKind, SavepointTrace
from controller.ports import ImageNeeds

# Calls whose savepoint is what the script asked for; carried out again they only answer.
DUMP_CALLS = ("create_dump", "save_dump")

# What holds where no rule says anything.
BUILT_IN = KeepRule(newest=1000, one_in=100, max_age_s=0, max_number=0, max_bytes=0)

# A create_dump gives its savepoint the name after the commit, which is a matter of milliseconds.
_NAMING = timedelta(minutes=1)
_IMPLICIT = frozenset({SavepointKind.CALL, SavepointKind.BEFORE_LOAD, SavepointKind.PAUSE})
# At a quota: one in 2, in 4... of the older half stay, and from here on the oldest go.
_THINNEST = 1024
# Room that is made below a quota, as a part of it: else each further savepoint would be one too many again.
_SLACK = 20


class Size:
    """Number of savepoints, and the bytes of the store that they need; packs that several share count once."""

    def __init__(self, traces: Sequence[SavepointTrace], needs: Mapping[str, ImageNeeds]) -> None:
        """needs: empty where bytes don't matter; an image that is missing there counts as nothing."""
        self._needs = needs
        self._users = Counter(pack for trace in traces if trace.id in needs for pack in needs[trace.id].packs)
        self.number = len(traces)
        packs = {pack: size for need in needs.values() for pack, size in need.packs.items()}
        self.bytes = sum(packs[pack] for pack in self._users) + sum(
            needs[trace.id].manifest_bytes for trace in traces if trace.id in needs
        )

    def without(self, trace: SavepointTrace) -> None:
        self.number -= 1
        need = self._needs.get(trace.id)
        if need is None:
            return
        self.bytes -= need.manifest_bytes
        for pack, size in need.packs.items():
            self._users[pack] -= 1
            if not self._users[pack]:
                self.bytes -= size


def merged(*rules: KeepRule) -> KeepRule:
    """Field by field what the first rule says that says something; the built-in one where none does."""
    return KeepRule(
        *(
            next(value for rule in (*rules, BUILT_IN) if (value := getattr(rule, field.name)) is not None)
            for field in fields(KeepRule)
        )
    )


def is_implicit(trace: SavepointTrace, now: datetime) -> bool:
    """Taken by the way: nobody asked for it, and it has no name."""
    naming = trace.kind is SavepointKind.CALL and trace.call in DUMP_CALLS and trace.created_at > now - _NAMING
    return trace.kind in _IMPLICIT and not trace.name and not naming


def exceeds(rule: KeepRule, number: int, size_bytes: int) -> bool:
    """Whether that is more than the quotas of a merged rule."""
    return bool((rule.max_number and number > rule.max_number) or (rule.max_bytes and size_bytes > rule.max_bytes))


def superfluous(
    rule: KeepRule,
    traces: Sequence[SavepointTrace],
    needed: Collection[str],
    needs: Mapping[str, ImageNeeds],
    now: datetime,
) -> Sequence[SavepointTrace]:
    """The savepoints that a merged rule does not keep, by number. traces: all of the execution, by number.

    needed: ids that stay whatever the rule says. needs: of all, where the rule has a quota of bytes.
    """
    implicit = [trace for trace in traces if is_implicit(trace, now)]
    going = {trace.id for trace in implicit if rule.max_age_s and _age_s(trace, now) > rule.max_age_s}
    if rule.newest:
        older = implicit[: -rule.newest]
        going.update(trace.id for trace in older if not rule.one_in or trace.number % rule.one_in)
    going.difference_update(needed)
    staying = [trace for trace in traces if trace.id not in going]
    removable = [trace for trace in implicit if trace.id not in going and trace.id not in needed]
    going.update(_above_quota(rule, Size(staying, needs), removable))
    return [trace for trace in traces if trace.id in going]


def _above_quota(rule: KeepRule, size: Size, removable: Sequence[SavepointTrace]) -> set[str]:
    going: set[str] = set()
    if not exceeds(rule, size.number, size.bytes):
        return going
    wanted = KeepRule(max_number=_with_slack(rule.max_number), max_bytes=_with_slack(rule.max_bytes))
    for trace in _by_worth(removable):
        if not exceeds(wanted, size.number, size.bytes):
            break
        if trace.id not in going:
            going.add(trace.id)
            size.without(trace)
    return going


def _by_worth(removable: Sequence[SavepointTrace]) -> Sequence[SavepointTrace]:
    """What goes first at a quota: the older half is thinned out ever more, then all go, oldest first."""
    older = removable[: len(removable) // 2]
    order = []
    one_in = 2
    while one_in <= _THINNEST:
        order += [trace for trace in older if trace.number % one_in]
        older = [trace for trace in older if not trace.number % one_in]
        one_in *= 2
    return [*order, *removable]


def _with_slack(quota: int | None) -> int:
    return quota - quota // _SLACK if quota else 0


def _age_s(trace: SavepointTrace, now: datetime) -> float:
    return (now - trace.created_at).total_seconds()
