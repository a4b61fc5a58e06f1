"""The disk is mounted read-only, or has no byte left even for records: calls wait, and go on where they were."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import SUCCESS, Platform, running_platform

COUNTS = """
    import time

    def handler(system, this):
        counted = 0
        while not system.setting("enough").exists():
            counted += 1
            this.set_output("counted", counted)
            print("RESULT", counted)
            time.sleep(0.02)
        this.success(str(counted))
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m,mode=0700", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def _remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)


@pytest.mark.parametrize("folder", ["store", "agents"])
def test_calls_wait_while_the_disk_is_read_only(disk: Path, tmp_path: Path, folder: str) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / folder).symlink_to(disk)
    with running_platform(data_dir) as platform:
        execution = platform.run(COUNTS)
        platform.wait_results(execution, 3)
        # Between two writes: a file that is open for writing forbids it.
        platform.wait_until(lambda: _try_remount(disk))
        platform.wait_until(lambda: any("Read-only" in line for line in platform.log(execution, "system")), execution)
        assert platform.get(execution).status == types_pb2.EXECUTION_STATUS_RUNNING
        before = len(platform.results(execution))
        _remount(disk, "rw")
        platform.wait_until(lambda: len(platform.results(execution)) > before + 3, execution)
        _end(platform, execution)


def _try_remount(disk: Path) -> bool:
    return subprocess.run(["mount", "-o", "remount,ro", disk], check=False, capture_output=True).returncode == 0


def test_calls_wait_when_not_even_records_have_room(disk: Path) -> None:
    filler = disk / "filler"
    with running_platform(disk / "data") as platform:
        execution = platform.run(COUNTS)
        platform.wait_results(execution, 3)
        _fill(filler)
        platform.wait_until(lambda: _refused(platform), execution)
        filler.unlink()
        before = len(platform.results(execution))
        platform.wait_until(lambda: len(platform.results(execution)) > before + 3, execution)
        _end(platform, execution)


def _fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError:
            return


def _refused(platform: Platform) -> bool:
    """Whether a client hears of the full disk; what was freed meanwhile is filled up."""
    filler = platform.data_dir.parent / "filler"
    _fill(filler)
    try:
        platform.push("probe", "def handler(system, this): pass")
        platform.flows.DeleteFlow(pb.DeleteFlowRequest(name="probe"), timeout=10)
    except grpc.RpcError as error:
        return error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "free some space" in error.details()
    return False


def _end(platform: Platform, execution: str) -> None:
    """Each call was carried out once, each has its savepoint, and each savepoint can be loaded."""
    platform.run("def handler(system, this):\n    system.setting('enough').save(True)\n")
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS
    counted = int(ended.message)
    assert platform.results(execution) == [str(number) for number in range(1, counted + 1)]
    savepoints = platform.savepoints(execution)
    assert sum(one.call == "set_output" for one in savepoints) == counted
    for savepoint in savepoints[:: max(1, len(savepoints) // 10)]:
        platform.load(execution, id=savepoint.id, dry_run=True)
