"""Real faults: whatever is killed, the execution goes on by itself, and no completed call is carried out again."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from counting import COUNTING, assert_counted
from flowsnap.v1 import types_pb2
from platform_under_test import CANCELLED, ERROR, SUCCESS, Platform, containers, running_platform

SLEEPING = types_pb2.EXECUTION_STATUS_SLEEPING
PAUSED = types_pb2.EXECUTION_STATUS_PAUSED
WAITING_CHILD = types_pb2.EXECUTION_STATUS_WAITING_CHILD


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def _kill_agent(platform: Platform, execution: str) -> None:
    platform.kill_agent(execution)


def _kill_flow(platform: Platform, execution: str) -> None:
    platform.kill_flow(execution)


def _kill_container(platform: Platform, execution: str) -> None:
    _docker("kill", platform.container(execution))


def _remove_container(platform: Platform, execution: str) -> None:
    _docker("rm", "-f", platform.container(execution))


@pytest.mark.parametrize("fault", [_kill_agent, _kill_flow, _kill_container, _remove_container])
def test_execution_goes_on_by_itself(platform: Platform, fault: Callable[[Platform, str], None]) -> None:
    execution = platform.run(COUNTING, 4, name=f"goes-on{fault.__name__}")
    # The status comes beside the dump.
    platform.wait_status(execution, SLEEPING)
    platform.wait_savepoint(execution, "sleep")
    fault(platform, execution)
    platform.wait_until(lambda: platform.get(execution).recovery_count == 1, execution)
    assert_counted(platform, execution)
    (line,) = [line for line in platform.log(execution, "system") if "recovered" in line]
    # Docker tells of a removal in steps; which one is seen first is chance.
    assert "signal 9" in line or ("its container" in line and fault is _remove_container), line
    assert "sleep" in line


def test_process_that_is_lost_again_and_again_ends_its_execution_and_says_why(platform: Platform) -> None:
    execution = platform.run(
        """
        import os

        def handler(system, this):
            this.create_dump("before")
            os._exit(7)
        """
    )
    ended = platform.wait_ended(execution)
    assert (ended.status, ended.recovery_count) == (ERROR, 2)
    assert "exit status 7" in ended.message
    assert "lost 3 times in a row after savepoint 1" in ended.message


def test_process_that_dies_beside_a_thread_that_makes_savepoints_ends_its_execution(tmp_path: Path) -> None:
    limits = ("--recovery-strikes", "5", "--recovery-limit", "4")
    with running_platform(tmp_path / "data", *limits) as platform:
        execution = platform.run(
            """
            import itertools, os, threading

            def handler(system, this):
                counted = threading.Event()

                def count():
                    for number in itertools.count():
                        this.set_output("number", number)
                        counted.set()

                threading.Thread(target=count).start()
                for _ in range(3):
                    counted.wait()
                    counted.clear()
                os._exit(1)
            """
        )
        ended = platform.wait_ended(execution)
        assert ended.status == ERROR
        assert "exit status 1; lost " in ended.message
        assert "4 times by its own doing, which is the limit (--recovery-limit)" in ended.message
        assert ended.recovery_count == 3


def test_exception_is_an_end_and_not_a_fault(platform: Platform) -> None:
    execution = platform.run("def handler(system, this):\n    this.log('x')\n    raise SystemExit(3)\n")
    ended = platform.wait_ended(execution)
    assert (ended.status, ended.recovery_count, ended.message) == (ERROR, 0, "SystemExit: 3")


def test_memory_that_ran_out_once_is_no_end(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            this.create_dump("before")
            if system.setting("hoarded").exists():
                return this.success("frugal")
            system.setting("hoarded").save(True)
            hoard = []
            while True:
                hoard.append(bytearray(16 << 20))
        """,
        memory_limit_bytes=256 << 20,
    )
    # The setting was saved by a call that was completed: exists() answers what it answered then, whatever is tried.
    ended = platform.wait_ended(execution)
    assert (ended.status, ended.recovery_count) == (ERROR, 2), ended.message
    assert "out of memory: the container's limit is 256 MiB" in ended.message


_READING = "def handler(system, this):\n    this.set_output('v', system.setting('done').get('value'))\n"


@pytest.fixture
def web_server() -> Iterator[tuple[str, list[dict[str, str]], threading.Event]]:
    """Its address, the headers of each request, and what lets it answer."""
    seen: list[dict[str, str]] = []
    answer = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(dict(self.headers))
            number = len(seen)
            answer.wait(60)
            body = json.dumps({"request": number}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen, answer
    answer.set()
    server.shutdown()
    thread.join()
    server.server_close()


POSTING = """
    def handler(system, this):
        first = this.connect("shop", method="post", path="/order", json={"n": 1}).get("output_value")
        this.set_output("answer", first["json"])
        this.sleep(this.get("input_value"))
"""


def test_request_under_way_is_repeated_with_its_key_when_the_controller_is_killed(
    own_platform: Platform, web_server: tuple[str, list[dict[str, str]], threading.Event]
) -> None:
    url, seen, answer = web_server
    own_platform.connect("shop", "REST", base_url=url)
    execution = own_platform.run(POSTING, 3)
    own_platform.wait_until(lambda: len(seen) == 1, execution)
    own_platform.kill_controller()
    own_platform.start()
    own_platform.wait_until(lambda: len(seen) == 2, execution)
    answer.set()
    own_platform.wait_status(execution, SLEEPING)
    own_platform.kill_controller()
    _kill_agent(own_platform, execution)
    own_platform.start()
    assert own_platform.wait_ended(execution).status == SUCCESS
    assert len({headers["Idempotency-Key"] for headers in seen}) == 1
    assert len(seen) == 2
    assert own_platform.output(execution) == {"answer": {"request": 2}}


def test_request_is_sent_once_when_the_flow_is_killed_while_it_is_under_way(
    own_platform: Platform, web_server: tuple[str, list[dict[str, str]], threading.Event]
) -> None:
    url, seen, answer = web_server
    own_platform.connect("shop", "REST", base_url=url)
    execution = own_platform.run(POSTING, 0)
    own_platform.wait_until(lambda: len(seen) == 1, execution)
    _kill_flow(own_platform, execution)
    own_platform.wait_until(lambda: own_platform.get(execution).recovery_count == 1, execution)
    answer.set()
    assert own_platform.wait_ended(execution).status == SUCCESS
    assert len(seen) == 1


def test_running_flow_does_not_notice_when_the_controller_is_killed(own_platform: Platform) -> None:
    execution = own_platform.run(
        """
        import os, time

        def handler(system, this):
            born = os.getpid(), time.monotonic()
            for turn in range(60):
                this.set_output("turn", turn)
                time.sleep(0.05)
            this.set_output("restored", this.restored)
        """
    )
    for turn in (5, 20):
        own_platform.wait_until(lambda: (own_platform.output(execution) or {}).get("turn", 0) > turn)  # noqa: B023
        agent = own_platform.agent_pid(execution)
        own_platform.kill_controller()
        own_platform.start()
    ended = own_platform.wait_ended(execution)
    assert (ended.status, ended.recovery_count, ended.branch) == (SUCCESS, 0, 1)
    assert agent
    assert own_platform.output(execution) == {"turn": 59, "restored": None}


def test_all_go_on_when_every_container_is_gone_with_the_controller(own_platform: Platform) -> None:
    """As after a reboot of the host."""
    sleepers = [own_platform.run(COUNTING, 5, name=f"sleeper-{number}") for number in range(3)]
    paused = own_platform.run(COUNTING, 0.2, name="paused")
    own_platform.wait_until(lambda: own_platform.savepoints(paused))
    own_platform.pause(paused)
    child = "def handler(system, this):\n    this.sleep(4)\n    return this.success('born')\n"
    own_platform.push("child", child)
    parent = own_platform.run("def handler(system, this):\n    this.flow('child')\n")
    for execution in sleepers:
        own_platform.wait_status(execution, SLEEPING)
    own_platform.wait_status(parent, WAITING_CHILD)
    own_platform.kill_controller()
    _docker("rm", "-f", *containers(own_platform.data_dir))
    own_platform.start()
    for execution in sleepers:
        assert_counted(own_platform, execution)
    assert own_platform.wait_ended(parent).status == SUCCESS
    assert own_platform.get(paused).status == PAUSED
    assert not [name for name in containers(own_platform.data_dir) if paused in name]
    own_platform.resume(paused)
    assert_counted(own_platform, paused)


def test_sleep_keeps_its_end(own_platform: Platform) -> None:
    execution = own_platform.run(COUNTING, 6)
    own_platform.wait_status(execution, SLEEPING)
    began = time.monotonic()
    own_platform.kill_controller()
    _remove_container(own_platform, execution)
    own_platform.start()
    assert_counted(own_platform, execution)
    assert 5 < time.monotonic() - began < 30


def test_older_savepoint_serves_when_the_newest_is_damaged(own_platform: Platform) -> None:
    execution = own_platform.run(
        """
        def handler(system, this):
            for n in range(3):
                system.setting("done").list_append(n)
            this.sleep(3600)
        """
    )
    own_platform.wait_status(execution, SLEEPING)
    own_platform.wait_until(lambda: own_platform.savepoints(execution)[-1].call == "sleep", execution)
    newest = own_platform.savepoints(execution)[-1]
    (manifest,) = (path for path in (own_platform.data_dir / "store").rglob(f"*{newest.id}*") if path.is_file())
    manifest.write_bytes(b"damaged")
    _kill_agent(own_platform, execution)
    own_platform.wait_until(lambda: "recovered" in "".join(own_platform.log(execution, "system")), execution)
    own_platform.wait_until(lambda: own_platform.savepoints(execution)[-1].call == "sleep", execution)
    own_platform.wait_status(execution, SLEEPING)
    assert any("going on from the savepoint before" in line for line in own_platform.log(execution, "system"))
    reading = own_platform.run(
        "def handler(system, this):\n    this.set_output('v', system.setting('done').get('value'))"
    )
    own_platform.wait_ended(reading)
    assert own_platform.output(reading) == {"v": [0, 1, 2]}
    own_platform.cancel(execution)
    assert own_platform.wait_ended(execution).status == CANCELLED
