"""Savepoints, the journal of calls, and loads: the transitions that recovery rests on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import database_records as records
import pytest

from controller.db import SqlDatabase
from controller.errors import AlreadyExists, FailedPrecondition, NotFound
from controller.model import Begun, CallKey, ForkedFrom, Outcome, SavepointKind, Status


@pytest.fixture(autouse=True)
def running_execution(database: SqlDatabase) -> None:
    database.add_execution(records.execution(status=Status.RUNNING), records.FLOW)


def test_savepoints_form_a_chain_when_added_one_after_the_other(database: SqlDatabase) -> None:
    database.set_fields("e1", output_value=b"[1]")
    first = database.add_savepoint(records.savepoint("s1", number=77, parent_id="none"))
    second = database.add_savepoint(records.savepoint("s2", seq=2, open_calls=()))
    assert first == records.savepoint("s1", number=1, parent_id=None, output_value=b"[1]")
    assert second == records.savepoint("s2", number=2, parent_id="s1", output_value=b"[1]", seq=2, open_calls=())
    assert database.savepoints("e1") == [first, second]
    assert database.savepoint("s2") == second
    execution = database.execution("e1")
    assert execution
    assert (execution.head_savepoint_id, execution.savepoint_count) == ("s2", 2)


def test_savepoint_keeps_the_output_value_that_it_is_given(database: SqlDatabase) -> None:
    database.set_fields("e1", output_value=b"[1]")
    assert database.add_savepoint(records.savepoint("s1", output_value=b"[0]")).output_value == b"[0]"


def test_an_execution_begins_from_a_savepoint_of_its_own_when_it_is_recorded_with_one(database: SqlDatabase) -> None:
    fork = records.execution(
        "e2",
        head_savepoint_id="s1",
        savepoint_count=1,
        forked_from_execution_id="e1",
        forked_from_savepoint_id="s0",
        forked_from_number=4,
        forked_from_name="here",
        fork_index=2,
    )
    first = records.savepoint("s1", "e2", number=1, output_value=b"[1]")
    database.add_execution(fork, records.FLOW, first)
    assert database.execution("e2") == fork
    assert fork.forked_from == ForkedFrom("e1", "s0", 4, "here", 2)
    assert database.savepoints("e2") == [first]
    second = database.add_savepoint(records.savepoint("s2", "e2", seq=2))
    assert (second.number, second.parent_id) == (2, "s1")
    # It outlives what it was made from.
    database.delete_execution("e1")
    assert database.execution("e2") is not None


def test_neither_is_recorded_when_the_savepoint_s_id_is_taken(database: SqlDatabase) -> None:
    database.add_savepoint(records.savepoint("s1"))
    with pytest.raises(AlreadyExists):
        database.add_execution(records.execution("e2"), records.FLOW, records.savepoint("s1", "e2", number=1))
    assert database.execution("e2") is None


def test_savepoint_is_refused_when_its_execution_is_gone(database: SqlDatabase) -> None:
    with pytest.raises(NotFound, match="execution gone"):
        database.add_savepoint(records.savepoint("s1", "gone"))
    assert database.savepoint_ids() == []


def test_numbers_have_no_gaps_and_no_doubles_when_threads_commit_at_once(database: SqlDatabase) -> None:
    def commit(n: int) -> int:
        database.begin_call(records.call(n))
        return database.add_savepoint(records.savepoint(f"s{n}", seq=n)).number

    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(commit, range(1, 41)))
    assert sorted(numbers) == list(range(1, 41))
    parents = {s.id: s.parent_id for s in database.savepoints("e1")}
    assert len(set(parents.values())) == 40


def test_savepoint_follows_its_own_branch_when_that_was_left_meanwhile(database: SqlDatabase) -> None:
    first = database.add_savepoint(records.savepoint("s1"))
    database.add_savepoint(records.savepoint("s2", seq=2))
    database.begin_branch(records.load("l1", "s1"), first, Status.RUNNING, b"{}")
    late = database.add_savepoint(records.savepoint("s3", seq=3, branch=1))
    present = database.add_savepoint(records.savepoint("s4", seq=2, branch=2))
    assert (late.parent_id, late.number) == ("s2", 3)
    assert (present.parent_id, present.number) == ("s1", 4)


def test_newest_savepoint_of_a_call_is_found_when_there_are_two(database: SqlDatabase) -> None:
    database.add_savepoint(records.savepoint("s1", seq=5))
    newest = database.add_savepoint(records.savepoint("s2", seq=5))
    database.add_savepoint(records.savepoint("s3", seq=5, branch=2))
    assert database.savepoint_at_call(CallKey("e1", 1, 5)) == newest
    assert database.savepoint_at_call(CallKey("e1", 1, 6)) is None


def test_savepoint_is_found_by_the_folder_that_it_was_committed_from(database: SqlDatabase) -> None:
    committed = database.add_savepoint(replace(records.savepoint("s1", seq=5), image_dir="a-1-1"))
    database.add_savepoint(replace(records.savepoint("s2", seq=5), image_dir="b-1-1"))
    assert database.savepoint_of_dump(CallKey("e1", 1, 5), "a-1-1") == committed
    assert database.savepoint_of_dump(CallKey("e1", 1, 6), "a-1-1") is None
    assert database.savepoint_of_dump(CallKey("e1", 1, 5), "c-1-1") is None


def test_name_and_kind_change_when_a_savepoint_is_named(database: SqlDatabase) -> None:
    recorded = database.add_savepoint(records.savepoint("s1"))
    database.name_savepoint("s1", "with-fetched-data", SavepointKind.EXPLICIT)
    assert database.savepoint("s1") == replace(recorded, name="with-fetched-data", kind=SavepointKind.EXPLICIT)
    with pytest.raises(NotFound, match="savepoint s9"):
        database.name_savepoint("s9", "x", SavepointKind.EXPLICIT)


def test_call_is_new_once_when_it_is_begun_again(database: SqlDatabase) -> None:
    first = records.call(file="other.py", line=9)
    assert database.begin_call(first) == Begun(first, new=True)
    assert database.begin_call(records.call(line=10, started_at=records.at(5))) == Begun(first, new=False)
    execution = database.execution("e1")
    assert execution
    assert (execution.last_call, execution.last_file, execution.last_line) == ("connect", "other.py", 9)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(value=b'{"rows": []}'),
        Outcome(error_type="ConnectorError", error_message="HTTP 503"),
        Outcome(halt=True, end=True),
    ],
)
def test_recorded_outcome_is_given_when_a_call_is_repeated(database: SqlDatabase, outcome: Outcome) -> None:
    database.begin_call(records.call())
    assert database.complete_call(records.call().key, outcome)
    assert not database.complete_call(records.call().key, Outcome(value=b"2"))
    assert database.begin_call(records.call()) == Begun(records.call(), new=False, outcome=outcome)


def test_call_is_refused_when_its_execution_is_gone(database: SqlDatabase) -> None:
    with pytest.raises(NotFound):
        database.begin_call(records.call(1, "gone"))
    assert not database.complete_call(CallKey("gone", 1, 1), Outcome())


def test_only_open_calls_of_the_branch_are_abandoned_when_it_is_left(database: SqlDatabase) -> None:
    done = Outcome(value=b"1")
    for key in (records.call(1), records.call(2), records.call(1, branch=2)):
        database.begin_call(key)
    database.complete_call(records.call(1).key, done)
    database.abandon_calls("e1", 1)
    assert database.begin_call(records.call(1)).outcome == done
    assert database.begin_call(records.call(2)).outcome == Outcome(halt=True)
    assert not database.complete_call(records.call(2).key, done)
    assert database.complete_call(records.call(1, branch=2).key, done)


def test_lost_call_is_found_again_by_its_content_when_the_flow_counts_otherwise(database: SqlDatabase) -> None:
    for seq, name in enumerate(("get", "connect", "connect", "sleep"), 1):
        database.begin_call(records.call(seq, name=name))
        database.complete_call(records.call(seq).key, Outcome(value=str(seq).encode()))
    database.lose_calls("e1", 1, 1)
    kept = database.begin_call(records.call(1, name="get"), recovered=True)
    asleep = database.begin_call(records.call(2, name="sleep", started_at=records.at(9)), recovered=True)
    first = database.begin_call(records.call(3, idempotency_key="later"), recovered=True)
    other = database.begin_call(records.call(4, line=77, idempotency_key="other"), recovered=True)
    second = database.begin_call(records.call(5), recovered=True)
    again = database.begin_call(records.call(3), recovered=True)
    third = database.begin_call(records.call(6), recovered=True)
    values = [begun.outcome.value if begun.outcome else None for begun in (kept, asleep, first, other, second, again)]
    assert values == [b"1", b"4", b"2", None, b"3", b"2"]
    assert (asleep.call.key.seq, asleep.call.started_at) == (2, records.START)
    assert first.call.idempotency_key == records.call(2).idempotency_key
    assert (other.new, third.new) == (True, True)
    assert [call.key.seq for call in database.open_calls("e1", 1)] == [4, 6]


def test_calls_lost_twice_keep_their_order(database: SqlDatabase) -> None:
    for seq in (1, 2):
        database.begin_call(records.call(seq))
        database.complete_call(records.call(seq).key, Outcome(value=str(seq).encode()))
    database.lose_calls("e1", 1, 1)
    database.begin_call(records.call(2, name="sleep"), recovered=True)
    database.lose_calls("e1", 1, 0)
    regained = [database.begin_call(records.call(seq), recovered=True).outcome for seq in (1, 2)]
    assert [outcome.value for outcome in regained if outcome] == [b"2", b"1"]
    assert database.open_calls("e1", 1) == []


def test_strikes_count_anew_when_there_is_a_further_savepoint(database: SqlDatabase) -> None:
    assert [database.count_strike("e1", own=False) for _ in range(2)] == [(1, 0), (2, 0)]
    for n in ("s1", "s2"):
        database.add_savepoint(records.savepoint(n))
    assert [database.count_strike("e1", own=True) for _ in range(2)] == [(1, 1), (2, 2)]
    # Going back to an older savepoint is no way forward.
    assert database.begin_recovery("e1", "s1").recovery_count == 1
    assert database.count_strike("e1", own=True) == (3, 3)


def test_own_losses_count_anew_when_an_operator_loads_and_not_when_the_script_does(database: SqlDatabase) -> None:
    savepoint = database.add_savepoint(records.savepoint("s1"))
    database.count_strike("e1", own=True)
    database.begin_branch(records.load("l1", "s1", by="script"), savepoint, Status.RUNNING, b"{}")
    assert database.count_strike("e1", own=True) == (1, 2)
    by_operator = records.load("l2", "s1", branch_from=2, branch_to=3)
    database.begin_branch(by_operator, savepoint, Status.RUNNING, b"{}")
    assert database.count_strike("e1", own=True) == (1, 1)


def test_one_thread_alone_begins_and_one_completes_when_many_try(database: SqlDatabase) -> None:
    gate = threading.Barrier(8)

    def race(_: int) -> tuple[bool, bool]:
        gate.wait()
        new = database.begin_call(records.call()).new
        return new, database.complete_call(records.call().key, Outcome())

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(race, range(8)))
    assert [sum(column) for column in zip(*results, strict=True)] == [1, 1]


def test_execution_goes_on_from_the_savepoint_when_a_load_is_recorded(database: SqlDatabase) -> None:
    first = database.add_savepoint(records.savepoint("s1"))
    database.add_savepoint(records.savepoint("s2", seq=2))
    database.set_status("e1", [Status.RUNNING], Status.ENDED_ERROR, "upload failed")
    load = records.load("l1", "s1")
    after = database.begin_branch(load, first, Status.RUNNING, b"[7]")
    assert (after.branch, after.head_savepoint_id, after.status) == (2, "s1", Status.RUNNING)
    assert (after.message, after.output_value, after.ended_at) == ("", b"[7]", None)
    assert (after.load_count, after.script_load_count, after.savepoint_count) == (1, 0, 2)
    assert database.execution("e1") == after
    assert database.loads("e1") == [load]


def test_loads_by_the_script_are_counted_apart_when_recorded(database: SqlDatabase) -> None:
    first = database.add_savepoint(records.savepoint("s1"))
    database.begin_branch(records.load("l1", "s1", by="script"), first, Status.RUNNING, b"{}")
    after = database.begin_branch(
        records.load("l2", "s1", by="script", branch_from=2, branch_to=3), first, Status.RUNNING, b"{}"
    )
    assert (after.load_count, after.script_load_count) == (2, 2)
    assert database.savepoints("e1")[0].script_loads == 2


def test_second_load_is_refused_when_two_leave_the_same_branch(database: SqlDatabase) -> None:
    first = database.add_savepoint(records.savepoint("s1"))
    database.begin_branch(records.load("l1", "s1"), first, Status.RUNNING, b"{}")
    before = database.execution("e1")
    with pytest.raises(FailedPrecondition, match="branch 1 to 2"):
        database.begin_branch(records.load("l2", "s1"), first, Status.PAUSED, b"[]")
    assert database.execution("e1") == before
    assert [load.id for load in database.loads("e1")] == ["l1"]
    with pytest.raises(NotFound, match="execution gone"):
        database.begin_branch(records.load("l3", "s1", "gone"), first, Status.RUNNING, b"{}")


def test_ended_state_comes_back_when_its_load_is_undone(database: SqlDatabase) -> None:
    first = database.add_savepoint(records.savepoint("s1"))
    database.add_savepoint(records.savepoint("s2", seq=2))
    load = records.load("l1", "s1")
    database.begin_branch(load, first, Status.RUNNING, b"[7]")
    database.add_savepoint(records.savepoint("s3", seq=2, branch=2))
    after = database.undo_to_ended(load, "l1")
    assert (after.status, after.message) == (Status.ENDED_ERROR, "upload failed")
    assert (after.output_value, after.ended_at) == (b'{"out": 1}', records.at(60))
    assert (after.head_savepoint_id, after.branch) == ("s2", 2)
    assert database.loads("e1") == [replace(load, undone=True)]


def test_loads_are_listed_oldest_first_when_one_is_marked(database: SqlDatabase) -> None:
    first = database.add_savepoint(records.savepoint("s1"))
    database.begin_branch(records.load("z", "s1"), first, Status.RUNNING, b"{}")
    database.begin_branch(records.load("a", "s1", branch_from=2, branch_to=3), first, Status.RUNNING, b"{}")
    undo = records.load("m", "s1", by="undo", branch_from=3, branch_to=4)
    database.begin_branch(undo, first, Status.RUNNING, b"{}", "a")
    assert [(load.id, load.undone) for load in database.loads("e1")] == [("z", False), ("a", True), ("m", False)]


def test_nothing_is_waited_for_any_more_when_a_load_is_undone_to_an_end(database: SqlDatabase) -> None:
    first = database.add_savepoint(records.savepoint("s1"))
    load = records.load("l1", "s1")
    database.begin_branch(load, first, Status.RUNNING, b"{}")
    database.set_parked("e1", parked=True)
    database.put_off("e1", "retry 1 of 1", records.at(600))
    after = database.undo_to_ended(load, "l1")
    assert (after.status, after.parked, after.retry_at) == (Status.ENDED_ERROR, False, None)
