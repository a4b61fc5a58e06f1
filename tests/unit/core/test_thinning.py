"""Which savepoints a rule does not keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.model import KeepRule, SavepointKind, SavepointTrace
from controller.thinning import BUILT_IN, Size, is_implicit, merged, superfluous
from store.image import ImageNeeds

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def trace(number: int, **changes: Any) -> SavepointTrace:
    fields: dict[str, Any] = {
        "id": f"s{number}",
        "number": number,
        "name": "",
        "kind": SavepointKind.CALL,
        "branch": 1,
        "call": "log",
        "created_at": NOW - timedelta(hours=1),
        "stored_bytes": 100,
    }
    return SavepointTrace(**{**fields, **changes})


def going(rule: KeepRule, traces: list[SavepointTrace], needed: set[str] = frozenset(), needs: Any = None) -> list[int]:
    found = superfluous(merged(rule), traces, needed, needs or {}, NOW)
    return [one.number for one in found]


def test_the_built_in_rule_keeps_the_newest_thousand_and_one_in_a_hundred_of_older_ones() -> None:
    traces = [trace(number) for number in range(1, 1501)]
    gone = going(KeepRule(), traces)
    assert gone == [number for number in range(1, 501) if number % 100]


def test_what_was_thinned_once_stays_as_it_is_when_looked_at_again() -> None:
    traces = [trace(number) for number in range(1, 101)]
    rule = KeepRule(newest=10, one_in=10)
    gone = set(going(rule, traces))
    assert going(rule, [one for one in traces if one.number not in gone]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "kept"},
        {"kind": SavepointKind.EXPLICIT},
        {"kind": SavepointKind.OPERATOR},
        {"call": "create_dump", "created_at": NOW - timedelta(seconds=1)},
    ],
)
def test_what_somebody_asked_for_stays_whatever_the_rule_says(changes: dict[str, Any]) -> None:
    traces = [trace(1, **changes), *[trace(number) for number in range(2, 8)]]
    rule = KeepRule(newest=1, one_in=0, max_age_s=1, max_number=1)
    assert going(rule, traces) == [2, 3, 4, 5, 6, 7]


def test_a_create_dump_that_never_got_its_name_is_implicit_after_a_while() -> None:
    assert is_implicit(trace(1, call="create_dump"), NOW)


def test_savepoints_in_use_stay_and_count_among_the_newest() -> None:
    traces = [trace(number) for number in range(1, 11)]
    assert going(KeepRule(newest=2, one_in=0), traces, {"s3", "s10"}) == [1, 2, 4, 5, 6, 7, 8]


def test_implicit_ones_go_when_they_are_too_old() -> None:
    traces = [trace(1), trace(2, created_at=NOW - timedelta(minutes=1)), trace(3, name="old")]
    assert going(KeepRule(max_age_s=600), traces) == [1]


def test_at_a_quota_the_older_half_is_thinned_out_before_the_oldest_go() -> None:
    traces = [trace(number) for number in range(1, 101)]
    gone = going(KeepRule(max_number=80), traces)
    # 24: a twentieth less than the quota is wanted.
    assert gone == list(range(1, 49, 2))
    gone = going(KeepRule(max_number=60), traces)
    assert 16 not in gone
    assert 32 not in gone
    assert max(gone) <= 50
    assert len(gone) == 43
    assert going(KeepRule(max_number=20), traces) == list(range(1, 82))


def test_no_quota_takes_what_is_named_or_in_use() -> None:
    traces = [trace(number, name="n") for number in range(1, 6)] + [trace(6)]
    assert going(KeepRule(max_number=2), traces, {"s6"}) == []
    assert going(KeepRule(max_number=2), traces) == [6]


def test_a_quota_of_bytes_counts_packs_that_several_share_once() -> None:
    traces = [trace(number) for number in range(1, 5)]
    base = b"base"
    needs = {one.id: ImageNeeds(10, {base: 1000, one.id.encode(): 100}) for one in traces}
    size = Size(traces, needs)
    assert (size.number, size.bytes) == (4, 1440)
    assert going(KeepRule(max_bytes=1440), traces, needs=needs) == []
    # Removing one frees its own pack and its manifest; the base stays as long as anybody needs it.
    assert going(KeepRule(max_bytes=1400), traces, needs=needs) == [1]
    assert going(KeepRule(max_bytes=1300), traces, needs=needs) == [1, 2]
    for one in traces:
        size.without(one)
    assert (size.number, size.bytes) == (0, 0)


def test_a_narrower_rule_decides_field_by_field() -> None:
    flow, default = KeepRule(newest=7, max_number=9), KeepRule(newest=3, one_in=0)
    assert merged(KeepRule(max_number=0), flow, default) == KeepRule(7, 0, 0, 0, 0)
    assert merged() == BUILT_IN
