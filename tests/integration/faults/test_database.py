"""The database is held by another process: calls wait, clients hear of it, and nothing is lost or done twice."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator

import grpc
import pytest
from flowsnap.v1 import control_pb2 as pb
from platform_under_test import SUCCESS, Platform

# The controller waits for so long before it says that the database is held.
BUSY_S = 10


@contextlib.contextmanager
def held(platform: Platform) -> Iterator[None]:
    """Nobody else writes within the block."""
    connection = sqlite3.connect(platform.data_dir / "flowsnap.db", isolation_level=None, timeout=20)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


COUNTS = """
    import time

    def handler(system, this):
        counted = 0
        while not system.setting("enough").exists():
            counted += 1
            this.set_output("counted", counted)
            print("RESULT", counted)
            time.sleep(0.01)
        this.success(str(counted))
"""


def test_calls_wait_while_another_process_holds_the_database_for_a_moment(own_platform: Platform) -> None:
    execution = own_platform.run(COUNTS)
    own_platform.wait_results(execution, 3)
    with held(own_platform):
        before = read_results(own_platform)
        threading.Event().wait(3)
        assert read_results(own_platform) == before
    own_platform.wait_until(lambda: len(own_platform.results(execution)) > before + 3, execution)
    _end(own_platform, execution)


def test_clients_hear_of_it_and_calls_go_on_where_they_were_when_it_is_held_for_long(own_platform: Platform) -> None:
    execution = own_platform.run(COUNTS)
    own_platform.wait_results(execution, 3)
    with held(own_platform):
        with pytest.raises(grpc.RpcError) as refused:
            own_platform.run("def handler(system, this): pass")
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "another process holds the database: try again" in refused.value.details()
        # Longer than one transaction of a call waits.
        threading.Event().wait(BUSY_S + 2)
    before = len(own_platform.results(execution))
    own_platform.wait_until(lambda: len(own_platform.results(execution)) > before + 3, execution)
    _end(own_platform, execution)


def read_results(platform: Platform) -> int:
    """Read from the file: the controller itself is waiting."""
    with contextlib.closing(sqlite3.connect(f"file:{platform.data_dir}/flowsnap.db?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM log_lines WHERE text LIKE 'RESULT %'").fetchone()[0]


def _end(platform: Platform, execution: str) -> None:
    """Each call was carried out once, each has its savepoint, and each savepoint can be loaded."""
    platform.run("def handler(system, this):\n    system.setting('enough').save(True)\n")
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS
    counted = int(ended.message)
    assert platform.results(execution) == [str(number) for number in range(1, counted + 1)]
    assert platform.output(execution) == {"counted": counted}
    assert not [line for line in platform.log(execution, "system") if "no savepoint" in line]
    savepoints = platform.savepoints(execution)
    assert sum(one.call == "set_output" for one in savepoints) == counted
    for savepoint in savepoints[:: max(1, len(savepoints) // 10)]:
        platform.load(execution, id=savepoint.id, dry_run=True)
    dry = platform.system.CollectGarbage(pb.CollectGarbageRequest(dry_run=True), timeout=20)
    assert dry.removed_savepoints == 0
