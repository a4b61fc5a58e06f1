"""Executions, flows and named records: what every database keeps."""

from __future__ import annotations

import database_records as records
import pytest

from controller.db import SqlDatabase
from controller.errors import AlreadyExists, InvalidArgument, NotFound
from controller.model import Connection, Execution, ExecutionQuery, ExecutionType, Filter, Flow, LogLine, Status
from controller.ports import Database


def add(database: SqlDatabase, *executions: Execution) -> None:
    for execution in executions:
        database.add_execution(execution, records.FLOW)


def test_is_a_database_as_the_core_wants_it(database: SqlDatabase) -> None:
    port: Database = database
    assert port.counts() == (0, 0, 0)


def test_execution_and_flow_come_back_equal_when_added(database: SqlDatabase) -> None:
    execution = records.execution(started_at=records.at(1), ended_at=records.at(2), head_savepoint_id="s9", last_line=4)
    add(database, execution)
    assert database.execution("e1") == execution
    assert database.flow("v1") == records.FLOW


def test_unknown_records_are_none_when_asked_for(database: SqlDatabase) -> None:
    assert database.execution("no") is None
    assert database.flow("no") is None
    assert database.savepoint("no") is None


def test_flow_stays_as_it_was_when_its_version_is_added_again(database: SqlDatabase) -> None:
    add(database, records.execution())
    database.add_execution(records.execution("e2"), Flow("renamed.py", "v1", "other"))
    assert database.flow("v1") == records.FLOW


def test_nothing_is_recorded_when_the_id_is_taken(database: SqlDatabase) -> None:
    add(database, records.execution())
    with pytest.raises(AlreadyExists):
        database.add_execution(records.execution(flow_version="v2"), Flow("other.py", "v2", ""))
    assert database.flow("v2") is None


def test_executions_are_found_by_id_prefix_and_name_newest_first(database: SqlDatabase) -> None:
    add(
        database,
        records.execution("ab1", created_at=records.at(1)),
        records.execution("ab2", created_at=records.at(3)),
        records.execution("cd3", name="ab", created_at=records.at(2)),
        records.execution("AB4"),
    )
    assert [e.id for e in database.find_executions("ab")] == ["ab2", "cd3", "ab1"]
    assert [e.id for e in database.find_executions("ab1")] == ["ab1"]
    assert [e.id for e in database.find_executions("demo")] == ["ab2", "ab1", "AB4"]
    for nothing in ("", "%", "a_", "b1"):
        assert database.find_executions(nothing) == []


def test_pages_join_to_the_whole_list_when_many_have_the_same_time(database: SqlDatabase) -> None:
    add(database, *[records.execution(f"e{n}") for n in range(7)])
    seen: list[str] = []
    while page := database.list_executions([], "", 3, seen[-1] if seen else ""):
        seen += [e.id for e in page]
    assert seen == ["e6", "e5", "e4", "e3", "e2", "e1", "e0"]


def test_list_is_narrowed_when_statuses_or_a_flow_are_given(database: SqlDatabase) -> None:
    add(
        database,
        records.execution("e1", status=Status.RUNNING),
        records.execution("e2", status=Status.ENDED_ERROR),
        records.execution("e3", status=Status.RUNNING, flow_name="other.py"),
    )
    assert [e.id for e in database.list_executions([Status.RUNNING], "", 10, "")] == ["e3", "e1"]
    assert [e.id for e in database.list_executions([Status.RUNNING], "other.py", 10, "")] == ["e3"]
    assert database.counts() == (3, 2, 0)


def test_listing_says_so_when_the_execution_to_go_on_from_is_gone(database: SqlDatabase) -> None:
    with pytest.raises(NotFound, match="from the start"):
        database.list_executions([], "", 10, "gone")


def test_status_changes_only_when_it_is_an_expected_one(database: SqlDatabase) -> None:
    add(database, records.execution(message="hello"))
    assert not database.set_status("e1", [Status.RUNNING, Status.PAUSED], Status.ENDED_ERROR, "no")
    assert database.execution("e1") == records.execution(message="hello")
    assert not database.set_status("unknown", [Status.NEW], Status.RUNNING)
    assert not database.set_status("e1", [], Status.RUNNING)


def test_times_follow_the_status_when_it_changes(database: SqlDatabase, clock: records.HandClock) -> None:
    add(database, records.execution(message="hello"))

    def move(seconds: float, expected: Status, status: Status, message: str | None = None) -> Execution:
        clock.time = records.at(seconds)
        assert database.set_status("e1", [expected], status, message)
        execution = database.execution("e1")
        assert execution
        return execution

    running = move(1, Status.NEW, Status.RUNNING)
    assert (running.started_at, running.ended_at, running.message) == (records.at(1), None, "hello")
    paused = move(2, Status.RUNNING, Status.PAUSED, "held\0back")
    assert (paused.started_at, paused.message) == (records.at(1), "held\N{REPLACEMENT CHARACTER}back")
    again = move(3, Status.PAUSED, Status.RUNNING, "")
    assert (again.started_at, again.message) == (records.at(1), "")
    ended = move(4, Status.RUNNING, Status.ENDED_SUCCESS, "done")
    assert (ended.started_at, ended.ended_at) == (records.at(1), records.at(4))
    assert move(5, Status.ENDED_SUCCESS, Status.RUNNING).ended_at is None


def test_fields_stay_when_they_are_not_given(database: SqlDatabase) -> None:
    add(database, records.execution(message="a"))
    database.set_fields("e1", output_value=b"[1]")
    database.set_fields("e1", message="b")
    database.set_last_call("e1", "sleep", "demo.py", 12)
    assert database.execution("e1") == records.execution(
        message="b", output_value=b"[1]", last_call="sleep", last_file="demo.py", last_line=12
    )


def test_execution_is_named_when_fields_of_a_missing_one_are_set(database: SqlDatabase) -> None:
    with pytest.raises(NotFound, match="execution gone"):
        database.set_fields("gone", message="x")
    with pytest.raises(NotFound, match="execution gone"):
        database.set_last_call("gone", "sleep", "demo.py", 1)


def test_everything_of_an_execution_goes_when_it_is_deleted(database: SqlDatabase) -> None:
    add(database, records.execution("e1"), records.execution("e2"))
    for owner in ("e1", "e2"):
        database.add_savepoint(records.savepoint(f"s-{owner}", owner))
        database.begin_call(records.call(1, owner))
        database.append_log(owner, [LogLine(records.START, "stdout", owner)])
        database.begin_branch(
            records.load(f"l-{owner}", f"s-{owner}", owner), records.savepoint(f"s-{owner}", owner), Status.NEW, b"{}"
        )
    of_e1 = {"parent_id": "e1", "depth": 1}
    add(
        database,
        records.execution("task", type=ExecutionType.TASK, status=Status.ENDED_ERROR, **of_e1),
        records.execution("held", type=ExecutionType.TASK, held=True, **of_e1),
        records.execution("running", type=ExecutionType.TASK, status=Status.RUNNING, **of_e1),
        records.execution("child", type=ExecutionType.SCRIPT, status=Status.ENDED_SUCCESS, **of_e1),
    )
    database.delete_execution("e1")
    database.delete_execution("e1")
    assert [database.execution(gone) for gone in ("task", "held")] == [None, None]
    for left in ("running", "child"):
        found = database.execution(left)
        assert found is not None
        assert found.parent_id is None
        database.delete_execution(left)
    assert database.execution("e1") is None
    assert database.savepoint_ids() == ["s-e2"]
    assert (database.savepoints("e1"), database.loads("e1"), database.read_log("e1", 0, 10)) == ([], [], [])
    assert [line.text for line in database.read_log("e2", 0, 10)] == ["e2"]
    assert database.counts() == (1, 1, 1)


def test_a_task_that_ends_without_its_parent_goes(database: SqlDatabase) -> None:
    of_e1 = {"parent_id": "e1", "depth": 1, "type": ExecutionType.TASK, "status": Status.RUNNING}
    add(database, records.execution("e1"), *(records.execution(task, **of_e1) for task in ("ends", "is-cancelled")))
    database.delete_execution("e1")
    assert database.end_task("ends", Status.ENDED_SUCCESS, "", b"{}", "")
    assert database.execution("ends") is None
    database.set_status("is-cancelled", (Status.RUNNING,), Status.ENDED_CANCELLED)
    database.delete_orphaned_tasks()
    assert database.execution("is-cancelled") is None


def test_tasks_with_a_parent_and_running_ones_are_no_orphans(database: SqlDatabase) -> None:
    of_e1 = {"parent_id": "e1", "depth": 1, "type": ExecutionType.TASK}
    add(
        database,
        records.execution("e1"),
        records.execution("child", status=Status.ENDED_ERROR, **of_e1),
        records.execution("running", status=Status.RUNNING, type=ExecutionType.TASK),
    )
    database.delete_orphaned_tasks()
    assert all(database.execution(kept) is not None for kept in ("e1", "child", "running"))


def test_hostile_filter_holds_the_database_up_no_longer_than_any_other(database: SqlDatabase) -> None:
    add(database, *(records.execution(f"e{number}", message="a" * 4_000_000) for number in range(3)))

    def found(op: str, value: object) -> int:
        return len(database.list_executions((), "", 10, "", where=Filter("message", op, value)))

    # Minutes for each, where the whole of both is looked at.
    assert found("like", f"%{'a' * 998}b") == 0
    assert found("like", f"{'a' * 900}%") == 3
    with pytest.raises(InvalidArgument, match="the pattern has 20002 characters; give up to 1000"):
        found("like", f"%{'a' * 20_000}b")
    with pytest.raises(InvalidArgument, match="'in' takes up to 1000 values, not 400000"):
        found("in", ["a"] * 400_000)


def test_log_lines_are_numbered_within_their_execution_when_appended(database: SqlDatabase) -> None:
    add(database, records.execution("e1"), records.execution("e2"))
    lines = [LogLine(records.at(n), "stdout", f"line {n} ü\0") for n in range(5)]
    database.append_log("e1", lines[:3])
    database.append_log("e2", lines[:1])
    database.append_log("e1", [])
    database.append_log("e1", lines[3:])
    assert database.read_log("e1", 3, 10) == [
        LogLine(records.at(3), "stdout", "line 3 ü\N{REPLACEMENT CHARACTER}", 4),
        LogLine(records.at(4), "stdout", "line 4 ü\N{REPLACEMENT CHARACTER}", 5),
    ]
    assert [line.number for line in database.read_log("e1", 0, 2)] == [1, 2]
    with pytest.raises(NotFound):
        database.append_log("gone", lines)


def test_named_records_are_replaced_when_saved_again(database: SqlDatabase) -> None:
    database.save_connection(Connection("b", "REST", b"{}"))
    database.save_connection(Connection("a", "REST", b'{"base_url": 1}'))
    database.save_connection(Connection("b", "SQLITE", b'{"path": 1}'))
    assert database.connections() == [
        Connection("a", "REST", b'{"base_url": 1}'),
        Connection("b", "SQLITE", b'{"path": 1}'),
    ]
    assert database.connection("b") == Connection("b", "SQLITE", b'{"path": 1}')
    database.save_setting("s", b"1")
    database.save_setting("s", b"2")
    assert database.setting("s") == b"2"
    database.save_file("f", b"")
    database.save_file("f", bytes(range(256)) * 40_000)
    assert database.file("f") == bytes(range(256)) * 40_000


def test_deleting_says_whether_there_was_one_when_called_twice(database: SqlDatabase) -> None:
    database.save_connection(Connection("x", "REST", b"{}"))
    database.save_setting("x", b"1")
    database.save_file("x", b"1")
    for delete in (database.delete_connection, database.delete_file):
        assert delete("x")
        assert not delete("x")
    assert database.delete_setting("x").done
    assert not database.delete_setting("x").done
    assert (database.connection("x"), database.setting("x"), database.file("x")) == (None, None, None)


def test_lines_with_a_text_are_found_backwards_whatever_their_case(database: SqlDatabase) -> None:
    add(database, records.execution())
    texts = ["100% done", "Half DONE", "none", "100 done"]
    database.append_log("e1", [LogLine(records.START, "stdout", text) for text in texts])
    assert [line.number for line in database.read_log_back("e1", None, 10, "done")] == [1, 2, 4]
    assert [line.number for line in database.read_log_back("e1", None, 2, "done")] == [2, 4]
    assert [line.number for line in database.read_log_back("e1", 4, 10, "DONE")] == [1, 2]
    assert [line.number for line in database.read_log_back("e1", None, 10, "0%")] == [1]


def test_lines_of_several_spans_are_found_with_how_many_there_are(database: SqlDatabase) -> None:
    add(database, records.execution())
    database.append_log("e1", [LogLine(records.at(second), "stdout", str(second)) for second in range(10)])

    def found(limit: int, *spans: tuple[float, float | None]) -> tuple[list[str], int]:
        times = [(records.at(since), None if until is None else records.at(until)) for since, until in spans]
        lines, total = database.log_within("e1", times, limit)
        return [line.text for line in lines], total

    assert found(9, (7, None)) == (["8", "9"], 2)
    assert found(9, (1, 3), (6, 7), (8.5, None)) == (["2", "3", "7", "9"], 4)
    assert found(2, (1, 3), (6, 7), (8.5, None)) == (["2", "3"], 4)
    assert found(9) == ([], 0)


def test_ids_of_all_that_a_query_finds_are_listed_newest_first(database: SqlDatabase) -> None:
    ended = records.execution("e2", status=Status.ENDED_SUCCESS, created_at=records.at(2))
    add(database, records.execution(created_at=records.at(1)), ended, records.execution("e3", created_at=records.at(3)))
    assert database.execution_ids(ExecutionQuery(), 10) == ["e3", "e2", "e1"]
    assert database.execution_ids(ExecutionQuery(), 2) == ["e3", "e2"]
    assert database.execution_ids(ExecutionQuery(statuses=(Status.ENDED_SUCCESS,)), 10) == ["e2"]
