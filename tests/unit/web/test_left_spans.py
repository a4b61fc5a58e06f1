"""Which times fall on the branch that a load leaves."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.model import BranchOrigin, SavepointRow
from controller.web.left_spans import Span, left_spans
from controller.web.words import ranges


def at(second: int) -> datetime:
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=second)


def savepoint(branch: int, second: int) -> SavepointRow:
    values: dict[str, Any] = dict.fromkeys((one.name for one in fields(SavepointRow)), "")
    return SavepointRow(**values | {"branch": branch, "created_at": at(second)})


def origin(branch: int, from_branch: int, from_second: int, begun: int) -> BranchOrigin:
    return BranchOrigin(branch, 1, "", from_branch, "operator", at(begun), False, at(from_second))


def spans(*seconds: tuple[int, int | None]) -> list[Span]:
    return [(at(since), None if until is None else at(until)) for since, until in seconds]


def test_all_since_the_savepoint_is_left_when_there_is_one_branch() -> None:
    assert left_spans(1, savepoint(1, 10), []) == spans((10, None))


def test_what_another_branch_wrote_meanwhile_is_not_left_again() -> None:
    """Branch 2 began at 30 from second 10 of branch 1; what branch 1 wrote until then was left before."""
    origins = [origin(2, 1, 10, 30)]
    assert left_spans(2, savepoint(2, 40), origins) == spans((40, None))
    assert left_spans(2, savepoint(1, 10), origins) == spans((30, None))
    assert left_spans(2, savepoint(1, 5), origins) == spans((5, 10), (30, None))


def test_branches_between_are_left_where_they_were_the_way_to_the_present() -> None:
    origins = [origin(2, 1, 10, 30), origin(3, 2, 40, 50), origin(4, 1, 5, 60)]
    assert left_spans(3, savepoint(1, 5), origins[:2]) == spans((5, 10), (30, 40), (50, None))
    assert left_spans(4, savepoint(1, 5), origins) == spans((60, None))


def test_all_is_left_when_nothing_is_in_common() -> None:
    ((since, until),) = left_spans(1, None, [])
    assert (since < at(-(10**9)), until) == (True, None)


def test_numbers_are_told_in_ranges() -> None:
    assert ranges([], 3) == ""
    assert ranges([4], 3) == "4"
    assert ranges([1, 2, 3, 5, 8, 9], 3) == "1\N{EN DASH}3, 5, 8\N{EN DASH}9"
    assert ranges([1, 3, 5, 7], 2) == "…, 5, 7"
