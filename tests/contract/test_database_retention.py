"""Rules of retention and the removal of savepoints, on each database."""

from __future__ import annotations

import database_records as records
import pytest

from controller.db import SqlDatabase
from controller.errors import NotFound
from controller.model import KeepRule, KeepScope, Retention, SavepointKind, SavepointTrace, Status


@pytest.fixture(autouse=True)
def running_execution(database: SqlDatabase) -> None:
    database.add_execution(records.execution(status=Status.RUNNING), records.FLOW)


def chain(database: SqlDatabase, *ids: str, branch: int = 1) -> None:
    for number, savepoint_id in enumerate(ids):
        database.add_savepoint(records.savepoint(savepoint_id, seq=number + 1, branch=branch))


def parents(database: SqlDatabase) -> dict[str, str | None]:
    return {savepoint.id: savepoint.parent_id for savepoint in database.savepoints("e1")}


def test_children_get_the_nearest_ancestor_that_stays_when_savepoints_are_removed(database: SqlDatabase) -> None:
    chain(database, "s1", "s2", "s3", "s4", "s5")
    assert database.remove_savepoints("e1", ["s2", "s3"]) == ["s2", "s3"]
    assert parents(database) == {"s1": None, "s4": "s1", "s5": "s4"}
    assert database.remove_savepoints("e1", ["s1", "s2"]) == ["s1"]
    assert parents(database) == {"s4": None, "s5": "s4"}
    assert [savepoint.number for savepoint in database.savepoints("e1")] == [4, 5]


def test_the_head_stays_when_it_is_to_be_removed(database: SqlDatabase) -> None:
    chain(database, "s1", "s2")
    assert database.remove_savepoints("e1", ["s1", "s2"]) == ["s1"]
    assert parents(database) == {"s2": None}
    assert database.remove_savepoints("e1", []) == []


def test_only_the_executions_own_savepoints_are_removed(database: SqlDatabase) -> None:
    database.add_execution(records.execution("e2"), records.FLOW)
    chain(database, "s1", "s2")
    assert database.remove_savepoints("e2", ["s1"]) == []
    assert list(parents(database)) == ["s1", "s2"]


def test_what_an_undo_goes_back_to_stays_until_that_happened(database: SqlDatabase) -> None:
    chain(database, "s1", "s2", "s3")
    first = database.savepoint("s1")
    assert first
    database.begin_branch(records.load("l1", "s1", before_savepoint_id="s3"), first, Status.RUNNING, b"{}")
    chain(database, "s4", branch=2)
    assert database.needed_by_undo("e1") == [("s3", 1)]
    assert database.remove_savepoints("e1", ["s2", "s3"]) == ["s2"]
    taken_back = records.load("l2", "s4", by="undo", branch_from=2, branch_to=3)
    database.begin_branch(taken_back, records.savepoint("s4"), Status.RUNNING, b"{}", "l1")
    assert database.needed_by_undo("e1") == []
    assert database.remove_savepoints("e1", ["s3"]) == ["s3"]


def test_a_branch_begins_at_the_ancestor_when_the_savepoint_it_began_from_is_removed(database: SqlDatabase) -> None:
    chain(database, "s1", "s2", "s3")
    second = database.savepoint("s2")
    assert second
    database.begin_branch(records.load("l1", "s2"), second, Status.RUNNING, b"{}")
    third = database.savepoint("s3")
    assert third
    to_third = records.load("l2", "s3", branch_from=2, branch_to=3)
    database.begin_branch(to_third, third, Status.RUNNING, b"{}")
    assert database.remove_savepoints("e1", ["s2"]) == ["s2"]
    moved = database.loads("e1")[0]
    assert (moved.savepoint_id, moved.loaded_id, moved.loaded_number, moved.loaded_name) == ("s1", "s2", 1, "here")
    # Branch 2 has no savepoint of its own.
    assert database.undo_to_ended(to_third, "l2").head_savepoint_id == "s1"
    assert database.add_savepoint(records.savepoint("late", branch=2)).parent_id == "s1"


def test_a_branch_begins_at_nothing_when_all_that_led_to_it_is_removed(database: SqlDatabase) -> None:
    chain(database, "s1", "s2")
    first, second = database.savepoint("s1"), database.savepoint("s2")
    assert first
    assert second
    database.begin_branch(records.load("l1", "s1"), first, Status.RUNNING, b"{}")
    database.begin_branch(records.load("l2", "s2", branch_from=2, branch_to=3), second, Status.RUNNING, b"{}")
    assert database.remove_savepoints("e1", ["s1"]) == ["s1"]
    assert database.add_savepoint(records.savepoint("late", branch=2)).parent_id is None


def test_traces_and_counts_say_what_there_is(database: SqlDatabase) -> None:
    database.add_execution(records.execution("e2"), records.FLOW)
    chain(database, "s1", "s2")
    assert database.savepoint_traces("e1") == [
        SavepointTrace(f"s{number}", number, "", SavepointKind.CALL, 1, "connect", records.START, 100)
        for number in (1, 2)
    ]
    assert database.savepoint_counts() == [("e1", "demo.py", 2)]


def test_the_rules_of_an_execution_are_its_own_its_flows_and_the_default(database: SqlDatabase) -> None:
    default = Retention(KeepScope.DEFAULT, "", KeepRule(newest=5))
    flow = Retention(KeepScope.FLOW, "demo.py", KeepRule(one_in=2, max_bytes=2**40))
    own = Retention(KeepScope.EXECUTION, "e1", KeepRule())
    for rule in (own, flow, default, Retention(KeepScope.FLOW, "other.py", KeepRule(newest=1))):
        database.set_retention(rule)
    assert database.retention_rules("demo.py", "e1") == [default, flow, own]
    assert [rule.subject for rule in database.retentions()] == ["", "demo.py", "other.py", "e1"]
    database.set_retention(Retention(KeepScope.FLOW, "demo.py", KeepRule(max_age_s=9)))
    assert database.retention_rules("demo.py", "e9")[1].rule == KeepRule(max_age_s=9)
    assert database.delete_retention(KeepScope.FLOW, "demo.py")
    assert not database.delete_retention(KeepScope.FLOW, "demo.py")


def test_a_rule_goes_with_its_execution(database: SqlDatabase) -> None:
    database.set_retention(Retention(KeepScope.EXECUTION, "e1", KeepRule(newest=1)))
    database.delete_execution("e1")
    assert database.retentions() == []
    with pytest.raises(NotFound):
        database.set_retention(Retention(KeepScope.EXECUTION, "e1", KeepRule(newest=1)))
