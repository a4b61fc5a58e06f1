"""Faults at random points, one after the other, with commands in between.

FLOWSNAP_SCHEDULES says how many schedules are tried, and has them drawn anew each time; `make soak` sets it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from leftovers import assert_nothing_left, assert_savepoints_are_good
from platform_under_test import CANCELLED, ENDED, SUCCESS, Platform
from shop import Shop, open_shop

import faults

_SCHEDULES = int(os.environ.get("FLOWSNAP_SCHEDULES", "0"))
_COMMANDS = ("load", "load first", "undo", "pause", "resume", "savepoint", "cancel")
# What a command may come to while what it is about dies, or has ended, or is not there yet.
_REFUSALS = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
)
_CHILD = """
def handler(system, this):
    this.connect('shop', method='post', text='child')
"""
_FLOW = f"""
def handler(system, this):
    for step in range(4):
        this.connect('shop', method='post', text=f'step {{step}}')
        if step == 1:
            this.create_dump('here')
            this.script({_CHILD!r})
        this.sleep(2 if step == 2 else 0.1)
    this.set_output(done=True)
    return this.success()
"""


@dataclass(frozen=True)
class Life:
    """Of one controller: what it or its agents die of, and what is commanded meanwhile."""

    plan: tuple[str, ...]
    commands: tuple[str, ...]


def _faults(points: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.builds("{}:kill@{}".format, st.sampled_from(points), st.integers(1, 6))


_LIFE = st.builds(
    Life,
    # Two agents in a row are within the limits of recovery, three in a row would end the execution with an error.
    st.one_of(st.tuples(_faults(faults.CONTROLLER)), st.tuples(_faults(faults.AGENT), _faults(faults.CONTROLLER))),
    st.lists(st.sampled_from(_COMMANDS), max_size=3).map(tuple),
)


@pytest.mark.timeout(0)
@settings(
    max_examples=_SCHEDULES or 10,
    derandomize=not _SCHEDULES,
    deadline=None,
    database=None,
    phases=(Phase.generate,),  # to make a failure smaller, the platform would have to do the same each time
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(_LIFE, min_size=1, max_size=2))
def test_nothing_is_lost_or_repeated_or_left_when_components_die_at_random(lives: list[Life]) -> None:
    with tempfile.TemporaryDirectory(prefix="flowsnap-") as folder, open_shop() as shop:
        platform = Platform(Path(folder), "--park-after", "0.5")
        try:
            _live_through(platform, shop, lives)
            if _SCHEDULES:
                print(".", end="", flush=True)
        except BaseException:
            with contextlib.suppress(OSError):
                Path("artifacts").mkdir(exist_ok=True)
                Path("artifacts/schedule.log").write_text(f"{lives}\n{platform.controller_log()}")
            raise
        finally:
            platform.stop()


def _live_through(platform: Platform, shop: Shop, lives: list[Life]) -> None:
    platform.start()
    platform.connect("shop", "REST", url=shop.url)
    platform.kill_controller()
    execution = ""
    for life in lives:
        with contextlib.suppress(_Died):
            _start(platform, life)
            execution = execution or _run(platform)
            for command in life.commands:
                _command(platform, execution, command)
            _until_ended_or_dead(platform, execution)
        _kill(platform)
    platform.start()
    execution = execution or _run(platform)
    platform.wait_until(lambda: _resumed(platform, execution), execution)
    for found in platform.list():
        platform.wait_ended(found.id)
    commanded = {command for life in lives for command in life.commands}
    ended = platform.get(execution)
    allowed = {SUCCESS, CANCELLED} if "cancel" in commanded else {SUCCESS}
    assert ended.status in allowed, f"{ended}\n{platform.log(execution)}"
    shop.assert_nothing_done_twice()
    if ended.status == SUCCESS:
        assert {"step 0", "step 1", "step 2", "step 3", "child"} == {what for _, what in shop.asked}
    assert_nothing_left(platform)
    assert_savepoints_are_good(platform)


class _Died(Exception):
    """The controller."""


def _start(platform: Platform, life: Life) -> None:
    """What it finds to recover may be the death of it before it has answered anybody."""
    try:
        platform.start(",".join(life.plan))
    except AssertionError as error:
        assert platform.process is not None
        if platform.process.poll() != -signal.SIGKILL:
            raise
        raise _Died from error


def _run(platform: Platform) -> str:
    """What a controller that died had recorded, or a new one."""
    try:
        known = platform.list()
        return known[-1].id if known else platform.run(_FLOW)
    except grpc.RpcError as error:
        _check(platform, error)
        raise _Died from error


def _command(platform: Platform, execution: str, command: str) -> None:
    try:
        match command:
            case "load":
                platform.load(execution, name="here")
            case "load first":
                platform.load(execution, id="1")
            case "undo":
                platform.undo(execution)
            case "pause":
                platform.executions.PauseExecution(pb.PauseExecutionRequest(execution=execution), timeout=60)
            case "resume":
                _resume(platform, execution)
            case "savepoint":
                platform.create_savepoint(execution)
            case "cancel":
                platform.cancel(execution)
    except grpc.RpcError as error:
        _check(platform, error)


def _resume(platform: Platform, execution: str) -> None:
    platform.executions.ResumeExecution(pb.ResumeExecutionRequest(execution=execution), timeout=60)


def _check(platform: Platform, error: grpc.RpcError) -> None:
    """Raises _Died when the controller did, and the error when it should not have come."""
    assert platform.process is not None
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        with contextlib.suppress(subprocess.TimeoutExpired):
            platform.process.wait(0.5)
    if platform.process.poll() is not None:
        raise _Died from error
    if error.code() not in _REFUSALS:
        raise error


def _until_ended_or_dead(platform: Platform, execution: str) -> None:
    assert platform.process is not None

    def over() -> bool:
        try:
            status = platform.get(execution).status
        except grpc.RpcError as error:
            _check(platform, error)
            return False
        return status in {*ENDED, types_pb2.EXECUTION_STATUS_PAUSED}

    platform.wait_until(over)


def _kill(platform: Platform) -> None:
    """Where it did not die by its plan."""
    assert platform.process is not None
    if platform.process.poll() is None:
        platform.process.kill()
    assert platform.process.wait() == -signal.SIGKILL, platform.controller_log()[-4000:]
    platform.channel.close()


def _resumed(platform: Platform, execution: str) -> bool:
    """Its container may be on its way still."""
    if platform.get(execution).status == types_pb2.EXECUTION_STATUS_PAUSED:
        with contextlib.suppress(grpc.RpcError):
            _resume(platform, execution)
    return platform.get(execution).status != types_pb2.EXECUTION_STATUS_PAUSED
