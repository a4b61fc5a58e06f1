"""The host's clock jumps: sleeps take the time they were to take, times of day and schedules follow the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import snapctl
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import SUCCESS, Platform, containers, running_platform

HOUR_S, DAY_S = 3600, 86400


class Clock:
    """That of the controller alone, as an offset to the real one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump_to(0)

    def jump_to(self, offset_s: int) -> None:
        # Replaced as a whole: the controller reads it at each look at the clock.
        changed = self._file.with_suffix(".new")
        changed.write_text(f"{offset_s:+d}s\n")
        changed.rename(self._file)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    file = tmp_path / "offset"
    clock = Clock(file)
    # Below a folder that is named after the machine's architecture.
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("NO_FAKE_STAT", "1")
    yield clock
    clock.jump_to(0)


@pytest.fixture
def jumpy_platform(clock: Clock, tmp_path: Path) -> Iterator[Platform]:
    with running_platform(tmp_path / "data") as platform:
        yield platform
    assert containers(platform.data_dir) == []


SLEEPS = """
    import time

    def handler(system, this):
        began = time.monotonic()
        this.sleep(4)
        this.success(str(time.monotonic() - began))
"""


@pytest.mark.parametrize("offset_s", [DAY_S, -HOUR_S])
def test_a_sleep_takes_its_time_whatever_the_clock_says(jumpy_platform: Platform, clock: Clock, offset_s: int) -> None:
    execution = jumpy_platform.run(SLEEPS)
    jumpy_platform.wait_status(execution, types_pb2.EXECUTION_STATUS_SLEEPING)
    clock.jump_to(offset_s)
    ended = jumpy_platform.wait_ended(execution)
    assert ended.status == SUCCESS
    # Less than the jump, and not before its time.
    assert 4 <= float(ended.message) < 60
    savepoints = jumpy_platform.savepoints(execution)
    assert [one.number for one in savepoints] == list(range(1, len(savepoints) + 1))
    jumpy_platform.load(execution, id="1", dry_run=True)


def test_a_time_of_day_comes_when_the_clock_has_jumped_there(jumpy_platform: Platform, clock: Clock) -> None:
    then = (datetime.now(UTC) + timedelta(hours=5)).isoformat()
    execution = jumpy_platform.run(
        "def handler(system, this):\n    this.sleep_until(this.get('input_value'))\n    this.success('woke')\n", then
    )
    jumpy_platform.wait_status(execution, types_pb2.EXECUTION_STATUS_SLEEPING)
    clock.jump_to(-HOUR_S)
    clock.jump_to(DAY_S)
    assert jumpy_platform.wait_ended(execution).message == "woke"


def test_schedules_go_on_when_the_clock_is_set_back_and_forward(
    jumpy_platform: Platform, clock: Clock, tmp_path: Path
) -> None:
    script = tmp_path / "tick.py"
    script.write_text("def handler(system, this): pass\n")
    clock.jump_to(DAY_S)
    assert snapctl(jumpy_platform, "schedule", "save", "tick", "--file", str(script), "--every", "2s").exit_code == 0
    jumpy_platform.wait_until(lambda: _ticks(jumpy_platform) >= 1)
    # The next run is a day ahead now.
    clock.jump_to(0)
    ticks = _ticks(jumpy_platform)
    jumpy_platform.wait_until(lambda: _ticks(jumpy_platform) >= ticks + 2)
    clock.jump_to(DAY_S)
    ticks, began = _ticks(jumpy_platform), time.monotonic()
    jumpy_platform.wait_until(lambda: _ticks(jumpy_platform) >= ticks + 2)
    # What was leapt over is made up for once, not 43,200 times.
    assert _ticks(jumpy_platform) - ticks <= 3 + (time.monotonic() - began) / 2


def _ticks(platform: Platform) -> int:
    listed = platform.executions.ListExecutions(pb.ListExecutionsRequest(page_size=1000), timeout=10).executions
    return sum(one.name.startswith("tick ") for one in listed)
