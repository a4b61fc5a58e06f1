"""Waiting costs nothing: a process tree that waits is put away, and is the same one when it is back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flowsnap.v1 import types_pb2
from platform_under_test import SUCCESS, Platform, containers, running_platform

SLEEPING = types_pb2.EXECUTION_STATUS_SLEEPING
SLEEPERS = 20


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with running_platform(tmp_path / "data", "--park-after", "1") as running:
        yield running


def _has_container(platform: Platform, execution: str) -> bool:
    return any(execution in name for name in containers(platform.data_dir))


def _wait_parked(platform: Platform, execution: str) -> None:
    platform.wait_until(lambda: platform.get(execution).parked, execution)
    platform.wait_until(lambda: not _has_container(platform, execution), execution)


SLEEPER = """
    import threading, queue

    def handler(system, this):
        numbers = iter(range(10))
        next(numbers)
        inbox, outbox = queue.Queue(), queue.Queue()
        def worker():
            outbox.put(inbox.get() + 1)
        threading.Thread(target=worker, daemon=True).start()
        with open("/tmp/kept", "w+") as file:
            file.write("kept")
            this.sleep(this.get("input_value"))
            file.seek(0)
            inbox.put(41)
            this.set_output("state", [next(numbers), file.read(), outbox.get()])
"""


def test_sleepers_hold_no_container_and_all_wake_up(platform: Platform) -> None:
    sleepers = [platform.run(SLEEPER, 45) for _ in range(SLEEPERS)]
    began = time.monotonic()
    for execution in sleepers:
        _wait_parked(platform, execution)
    assert containers(platform.data_dir) == []
    assert time.monotonic() - began < 45
    platform.kill_controller()
    platform.start()
    for execution in sleepers:
        ended = platform.wait_ended(execution)
        assert (ended.status, ended.recovery_count, ended.branch) == (SUCCESS, 0, 1), ended.message
        assert platform.output(execution) == {"state": [1, "kept", 42]}


BUSY = {
    "a thread that computes": "threading.Thread(target=lambda: any(i < 0 for i in range(10**9)), daemon=True).start()",
    "a thread that looks after something": "threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()",
    "a server": "server = socket.create_server(('127.0.0.1', 0))",
    "a child process": "child = subprocess.Popen(['sleep', '3600'])",
}


@pytest.mark.parametrize("what", BUSY)
def test_tree_that_does_more_than_wait_keeps_its_container(platform: Platform, what: str) -> None:
    execution = platform.run(
        f"""
        import socket, subprocess, threading, time

        def handler(system, this):
            {BUSY[what]}
            this.sleep(6)
        """
    )
    platform.wait_status(execution, SLEEPING)
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS, ended.message
    assert "PAUSE" not in {types_pb2.SavepointKind.Name(one.kind)[15:] for one in platform.savepoints(execution)}


def test_paused_flow_is_put_away_and_goes_on_in_the_middle_of_its_work(platform: Platform) -> None:
    execution = platform.run(
        """
        import time

        def handler(system, this):
            print("RESULT begun")
            turns = 0
            while turns < 30:
                time.sleep(0.1)
                turns += 1
            this.set_output("turns", turns)
        """
    )
    platform.wait_results(execution, 1)
    platform.pause(execution)
    _wait_parked(platform, execution)
    platform.resume(execution)
    assert platform.wait_ended(execution).status == SUCCESS
    assert platform.output(execution) == {"turns": 30}


def test_parked_execution_is_shown_loaded_and_cancelled(platform: Platform) -> None:
    execution = platform.run("def handler(system, this):\n    this.create_dump('here')\n    this.sleep(3600)\n")
    _wait_parked(platform, execution)
    assert platform.create_savepoint(execution, "asleep").call == "sleep"
    assert platform.load(execution, name="here").execution.branch == 2
    platform.wait_status(execution, SLEEPING)
    _wait_parked(platform, execution)
    platform.cancel(execution)
    assert not platform.get(execution).parked
