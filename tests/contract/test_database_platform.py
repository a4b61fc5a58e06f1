"""Settings, files, locks, messages, schedules and webhooks, as the records keep them, on both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import database_records as records
import pytest
from sqlalchemy import select

from controller.db import SqlDatabase
from controller.db.schema import waits
from controller.errors import InvalidArgument
from controller.model import (
    NULL,
    CallKey,
    Filter,
    Json,
    LockRequest,
    Message,
    Missed,
    Outcome,
    Schedule,
    Status,
    Webhook,
    Written,
)

SCHEDULE = Schedule(
    name="s",
    flow_name="f",
    script="",
    input_value=NULL,
    cron="0 0 * * *",
    timezone="UTC",
    interval_s=0,
    missed=Missed.SKIP,
    enabled=True,
    created_at=records.START,
    next_run_at=records.at(60),
)


def key(execution_id: str, branch: int = 1, seq: int = 1) -> CallKey:
    return CallKey(execution_id, branch, seq)


@pytest.fixture
def executions(database: SqlDatabase) -> SqlDatabase:
    for execution_id in ("e1", "e2", "e3"):
        database.add_execution(records.execution(execution_id), records.FLOW)
    return database


def test_settings_are_listed_after_a_name_and_by_a_filter(database: SqlDatabase) -> None:
    for name in ("b", "a", "c"):
        assert database.save_setting(name, b"1") == Written(True)
    assert [info.name for info in database.settings(None, 2, "")] == ["a", "b"]
    assert [info.name for info in database.settings(None, 2, "b")] == ["c"]
    assert [info.name for info in database.settings(Filter("name", "ge", "b"), 9, "")] == ["b", "c"]
    with pytest.raises(InvalidArgument, match="no field 'wings'"):
        database.settings(Filter("wings", "eq", 1), 9, "")


def test_a_setting_is_changed_once_when_its_call_is_repeated(executions: SqlDatabase) -> None:
    executions.begin_call(records.call())

    def longer(value: Json | None) -> Json:
        return (value or b"") + b"1"

    for _ in range(2):
        assert executions.change_setting("n", longer, "e1", key("e1")) == Written(True)
    assert executions.setting("n") == b"1"
    assert executions.complete_call(key("e1"), Outcome()) is False


def test_a_setting_is_left_alone_when_another_holds_its_lock(executions: SqlDatabase) -> None:
    executions.save_setting("s", b"1")
    executions.request_lock("s", key("e1"))
    assert executions.save_setting("s", b"2", "e2") == Written(False, "e1")
    assert executions.delete_setting("s") == Written(False, "e1")
    assert executions.save_setting("s", b"3", "e1") == Written(True)
    info = executions.setting_info("s")
    assert info is not None
    assert info.locked_by == "e1"
    assert [one.name for one in executions.settings(Filter("locked_by", "eq", "e1"), 9, "")] == ["s"]


def test_a_lock_goes_to_who_waits_longest_when_it_is_released(executions: SqlDatabase) -> None:
    assert executions.request_lock("l", key("e1")).granted
    assert executions.request_lock("l", key("e1", seq=2)).granted
    assert executions.request_lock("l", key("e3")) == LockRequest(False, "e1")
    assert not executions.request_lock("l", key("e2")).granted
    [(lock, waiting)] = executions.locks()
    assert (lock.execution_id, waiting) == ("e1", ["e3", "e2"])
    assert executions.release_lock("l", "e2") is None
    assert executions.release_lock("l", "e1", handed_by="k") == "e3"
    handed = executions.lock("l")
    assert handed is not None
    assert (handed.execution_id, handed.handed_by) == ("e3", "k")
    assert executions.release_lock("l", "e3") == "e2"
    assert executions.release_lock("l", "e2") == ""
    assert executions.locks() == []


def test_a_lock_passes_over_who_waits_no_more(executions: SqlDatabase) -> None:
    executions.request_lock("l", key("e1"))
    executions.request_lock("l", key("e2", branch=7))  # of a branch that e2 is not on
    executions.request_lock("l", key("e3"))
    executions.set_status("e3", [Status.NEW], Status.ENDED_CANCELLED)
    assert [waiting for _, waiting in executions.locks()] == [[]]
    assert executions.release_lock("l", "e1") == ""


def test_a_place_is_kept_when_the_call_is_repeated_on_a_newer_branch(executions: SqlDatabase) -> None:
    executions.request_lock("l", key("e1"))
    for request in (key("e2"), key("e3"), key("e2", branch=2)):
        executions.request_lock("l", request)
    assert executions.call_off_lock("l", key("e2")) == ""  # the older call leaves the newer one's place alone
    assert [(row.execution_id, row.call_branch) for row in _waits(executions)] == [("e2", 2), ("e3", 1)]
    assert executions.withdraw_lock("l", key("e2", branch=2)) is False
    assert [row.execution_id for row in _waits(executions)] == ["e3"]


def test_a_lock_that_nobody_waits_for_any_more_is_passed_on_when_its_call_is_called_off(
    executions: SqlDatabase,
) -> None:
    executions.request_lock("l", key("e1"))
    executions.request_lock("l", key("e2"))
    executions.request_lock("l", key("e3"))
    assert executions.release_lock("l", "e1") == "e2"
    assert executions.withdraw_lock("l", key("e2")) is True
    assert executions.call_off_lock("l", key("e2")) == "e3"
    assert executions.call_off_lock("l", key("e2")) == ""


def test_messages_are_sent_once_answered_once_and_paged(executions: SqlDatabase) -> None:
    first = Message("m1", "e1", "ü\0", b"{}", records.at(1), "k1")
    kept = executions.add_message(first)
    assert executions.add_message(replace(first, id="m9")).id == kept.id
    executions.add_message(Message("m2", "e2", "s", b"{}", records.at(2), "k2"))
    assert executions.answer_message("m1", b'{"a":1}', "Ada", records.at(3)) is True
    assert executions.answer_message("m1", b'{"a":2}', "Eve", records.at(4)) is False
    assert [message.id for message in executions.messages(None, 1, "")] == ["m2"]
    assert [message.id for message in executions.messages(None, 9, "m2")] == ["m1"]
    assert [message.id for message in executions.messages(Filter("status", "eq", "OPEN"), 9, "")] == ["m2"]
    answered = executions.message("m1")
    assert answered is not None
    assert (answered.response, answered.answered_by, answered.answered_at) == (b'{"a":1}', "Ada", records.at(3))
    assert (executions.delete_message("m1"), executions.delete_message("m1")) == (True, False)


def test_a_run_is_claimed_once(database: SqlDatabase) -> None:
    database.save_schedule(SCHEDULE)
    assert database.next_run() == records.at(60)
    assert database.due_schedules(records.at(59)) == []
    [due] = database.due_schedules(records.at(60))
    assert database.claim_run(due, records.at(60), records.at(120)) is True
    assert database.claim_run(due, records.at(60), records.at(120)) is False
    [starting] = database.due_schedules(records.at(61))
    assert (starting.starting_at, starting.next_run_at) == (records.at(60), records.at(120))
    database.finish_run("s", records.at(62), execution_id="e1")
    assert database.due_schedules(records.at(63)) == []
    kept = database.schedule("s")
    assert kept == replace(SCHEDULE, next_run_at=records.at(120), last_run_at=records.at(62), last_execution_id="e1")
    assert (database.delete_schedule("s"), database.delete_schedule("s")) == (True, False)
    assert database.next_run() is None


def test_webhooks_are_replaced_and_deleted(database: SqlDatabase) -> None:
    webhook = Webhook("w", "f", "", "00", False, 60, records.START)
    database.save_webhook(webhook)
    database.save_webhook(replace(webhook, synchronous=True))
    assert database.webhooks() == [replace(webhook, synchronous=True)]
    assert (database.delete_webhook("w"), database.webhook("w")) == (True, None)


def _waits(database: SqlDatabase) -> list[Any]:
    with database._reading() as connection:
        return list(connection.execute(select(waits).order_by(waits.c.ordinal)))
