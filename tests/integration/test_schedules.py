"""Schedules: they start flows at times, remember the next one, and deal with what was missed."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from command_line import snapctl
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import SUCCESS, Platform

FLOW = "def handler(system, this):\n    system.setting('ran').list_append(this.get('input_value'))\n"


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "scheduled.py"
    path.write_text(FLOW)
    return str(path)


def started(platform: Platform, name: str) -> list[types_pb2.Execution]:
    """What the schedule started by its times, oldest first."""
    listed = platform.executions.ListExecutions(pb.ListExecutionsRequest(page_size=1000), timeout=10).executions
    return [one for one in reversed(listed) if one.name.startswith(f"{name} ")]


def listed(platform: Platform, name: str) -> dict[str, object]:
    found = snapctl(platform, "schedule", "ls", "-o", "json").json["schedules"]
    return next(one for one in found if one["name"] == name)


def set_next_run(platform: Platform, name: str, seconds_ago: float) -> None:
    """As if no controller had run for that long."""
    with sqlite3.connect(platform.data_dir / "flowsnap.db") as database:
        due = int((time.time() - seconds_ago) * 1_000_000)
        database.execute("UPDATE schedules SET next_run_at = ? WHERE name = ?", (due, name))
    database.close()


def test_a_flow_is_started_again_and_again_when_it_has_an_interval(platform: Platform, script: str) -> None:
    saved = snapctl(platform, "schedule", "save", "often", "--file", script, "--every", "1s", "-i", "n=1")
    assert saved.exit_code == 0, saved.err
    platform.wait_until(lambda: len(started(platform, "often")) >= 2)
    for execution in started(platform, "often")[:2]:
        ended = platform.wait_ended(execution.id)
        assert (ended.status, ended.flow_name, ended.input_value_json) == (SUCCESS, "scheduled.py", b'{"n":1}')
    assert snapctl(platform, "schedule", "rm", "often").exit_code == 0
    assert snapctl(platform, "schedule", "rm", "often").exit_code == 3


def test_the_newest_version_of_a_pushed_flow_runs_now_when_that_is_asked(platform: Platform) -> None:
    platform.push("nightly", "def handler(system, this):\n    this.success('old')\n")
    saved = snapctl(
        platform, "schedule", "save", "n", "--flow", "nightly", "--cron", "30 3 * * *", "--timezone", "Europe/Vienna"
    )
    assert saved.exit_code == 0, saved.err
    platform.push("nightly", "def handler(system, this):\n    this.success('new')\n")
    execution = snapctl(platform, "schedule", "run-now", "n").out.strip()
    assert platform.wait_ended(execution).message == "new"
    shown = listed(platform, "n")
    assert (shown["missed"], shown["enabled"], shown["last_run_at"]) == ("RUN_ONCE", True, None)
    assert str(shown["next_run_at"])[14:19] == "30:00"
    assert "30 3 * * * Europe/Vienna" in snapctl(platform, "schedule", "ls").out
    snapctl(platform, "schedule", "rm", "n")


def test_a_disabled_schedule_starts_nothing(platform: Platform, script: str) -> None:
    snapctl(platform, "schedule", "save", "off", "--file", script, "--every", "1s", "--disabled")
    snapctl(platform, "schedule", "save", "on", "--file", script, "--every", "1s")
    platform.wait_until(lambda: len(started(platform, "on")) >= 3)
    assert started(platform, "off") == []
    assert "disabled" in snapctl(platform, "schedule", "ls").out
    for name in ("off", "on"):
        snapctl(platform, "schedule", "rm", name)


def test_what_was_missed_without_a_controller_follows_the_policy(own_platform: Platform, script: str) -> None:
    for missed in ("skip", "run-once", "run-all"):
        saved = snapctl(own_platform, "schedule", "save", missed, "--file", script, "--every", "1h", "--missed", missed)
        assert saved.exit_code == 0, saved.err
    own_platform.kill_controller()
    for missed in ("skip", "run-once", "run-all"):
        set_next_run(own_platform, missed, 2.5 * 3600)
    own_platform.start()
    own_platform.wait_until(lambda: len(started(own_platform, "run-all")) == 3)
    own_platform.wait_until(lambda: len(started(own_platform, "run-once")) == 1)
    assert started(own_platform, "skip") == []
    for missed in ("skip", "run-once", "run-all"):
        own_platform.wait_until(lambda missed=missed: str(listed(own_platform, missed)["next_run_at"]) > _now())
    assert [len(started(own_platform, missed)) for missed in ("skip", "run-once", "run-all")] == [0, 1, 3]


def test_a_run_that_was_being_started_is_started_once(own_platform: Platform, script: str) -> None:
    snapctl(own_platform, "schedule", "save", "claimed", "--file", script, "--every", "1h")
    own_platform.kill_controller()
    with sqlite3.connect(own_platform.data_dir / "flowsnap.db") as database:
        database.execute("UPDATE schedules SET starting_at = created_at")
    database.close()
    for _ in range(2):
        own_platform.start()
        own_platform.wait_until(lambda: listed(own_platform, "claimed")["last_execution_id"])
        assert len(started(own_platform, "claimed")) == 1
        own_platform.kill_controller()
        with sqlite3.connect(own_platform.data_dir / "flowsnap.db") as database:
            database.execute("UPDATE schedules SET starting_at = created_at, last_execution_id = ''")
        database.close()
    own_platform.start()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cron", "61 * * * *"), "the cron line '61 * * * *' can't be read: Bad minute"),
        (("--cron", "* * *"), "can't be read: Wrong number of fields"),
        (("--cron", "0 0 * * *", "--timezone", "Mars/Olympus"), "there is no time zone 'Mars/Olympus'"),
        (("--every", "soon"), "'soon' is not a duration"),
        (("--every", "1h", "--missed", "maybe"), "--missed 'maybe' is none of skip, run-once, run-all"),
        ((), "give either a cron line or an interval"),
        (("--cron", "0 0 * * *", "--every", "1h"), "give either a cron line or an interval"),
    ],
)
def test_bad_times_are_refused_with_the_words(
    platform: Platform, script: str, options: tuple[str, ...], words: str
) -> None:
    refused = snapctl(platform, "schedule", "save", "bad", "--file", script, *options)
    assert (refused.exit_code, words in refused.err) == (2, True), refused.err


def test_an_unknown_flow_is_refused(platform: Platform) -> None:
    refused = snapctl(platform, "schedule", "save", "bad", "--flow", "absent", "--every", "1h")
    assert refused.exit_code == 3
    assert "there is no flow 'absent'" in refused.err


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
