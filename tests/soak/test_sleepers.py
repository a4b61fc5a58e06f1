"""A thousand executions that sleep, on a machine that could hardly hold a thousand containers."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flowsnap.v1 import types_pb2
from leftovers import assert_nothing_left, assert_savepoints_are_good
from platform_under_test import ENDED, SUCCESS, Platform, containers

_SLEEPERS = int(os.environ.get("FLOWSNAP_SOAK_SLEEPERS", "1000"))
_BATCH = 50
# So long a machine may take for each, to put it to sleep and to wake it.
_EACH_S = float(os.environ.get("FLOWSNAP_SOAK_EACH_S", "1.5"))

_FLOW = """
def handler(system, this):
    dreams = [object() for _ in range(1000)]
    first = id(dreams[0])
    this.sleep_until(this.get("input_value"))
    assert id(dreams[0]) == first
    return this.success()
"""


def test_sleepers_hold_no_container_and_all_wake_up(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data", "--park-after", "1")
    platform.start()
    try:
        began = time.time()
        wake_at = began + 60 + _SLEEPERS * _EACH_S
        sleepers: list[str] = []
        while len(sleepers) < _SLEEPERS:
            count = min(_BATCH, _SLEEPERS - len(sleepers))
            sleepers += [platform.run(_FLOW, wake_at) for _ in range(count)]
            _wait_asleep(platform, len(sleepers))
        platform.wait_until(lambda: not containers(platform.data_dir))
        asleep_s = time.time() - began
        assert time.time() < wake_at, "the machine is slower than FLOWSNAP_SOAK_EACH_S says"
        size = _resident_mib(platform)
        platform.kill_controller()
        again = time.monotonic()
        platform.start()
        start_s = time.monotonic() - again
        assert containers(platform.data_dir) == []
        time.sleep(max(0.0, wake_at - time.time()))
        platform.wait_until(lambda: _ended(platform) == _SLEEPERS, limit_s=60 + _SLEEPERS * _EACH_S)
        awake_s = time.time() - wake_at
        assert {(found.status, found.message) for found in platform.list()} == {(SUCCESS, "")}
        assert {execution.id for execution in platform.list()} == set(sleepers)
        assert_nothing_left(platform)
        stored = sum(file.stat().st_size for file in (platform.data_dir / "store").rglob("*") if file.is_file())
        assert_savepoints_are_good(platform)
        print(
            f"\n{_SLEEPERS} sleepers: all asleep after {asleep_s:.0f} s, no container; controller {size:.0f} MiB,"
            f" started again in {start_s:.1f} s; all ended {awake_s:.0f} s after the time; store {stored >> 20} MiB"
        )
    finally:
        platform.stop()


def _wait_asleep(platform: Platform, count: int) -> None:
    platform.wait_until(lambda: _asleep(platform) == count, limit_s=_BATCH * _EACH_S + 60)


def _asleep(platform: Platform) -> int:
    found = platform.list()
    lost = [execution for execution in found if execution.status in ENDED]
    assert not lost, lost
    return sum(execution.parked and execution.status == types_pb2.EXECUTION_STATUS_SLEEPING for execution in found)


def _ended(platform: Platform) -> int:
    return sum(execution.status in ENDED for execution in platform.list())


def _resident_mib(platform: Platform) -> float:
    """Of the controller."""
    assert platform.process is not None
    pages = int(Path(f"/proc/{platform.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1048576
