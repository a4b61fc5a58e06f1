"""Each point at which a component may die, and a flow that goes on as if nothing had happened."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from leftovers import assert_nothing_left, assert_savepoints_are_good
from platform_under_test import ENDED, SUCCESS, Platform
from shop import Shop, open_shop

import faults

# At other times than the second.
_TIMES = {
    "controller.container.start.before": 1,
    "controller.container.start.after": 1,
    "controller.container.remove.before": 1,
    "controller.container.remove.after": 1,
    "controller.script.before": 1,
    "controller.end.row.before": 1,
    "controller.end.row.after": 1,
    "agent.script.after": 1,
    "agent.end.before": 1,
    "agent.end.after": 1,
}
_BY_LOADS = (
    "controller.load.before",
    "controller.load.row.before",
    "controller.load.row.after",
    "agent.restore.before",
    "agent.swap.before",
    "agent.swap.after",
)
_BY_RECOVERIES = (
    "controller.restore.before",
    "controller.restore.after",
    "controller.recovery.before",
    "controller.recovery.row.after",
    "agent.restore.before",
    "agent.swap.before",
    "agent.swap.after",
)
_BY_PARKING = (
    "controller.park.row.before",
    "controller.park.row.after",
    "controller.restore.before",
    "controller.restore.after",
    "agent.restore.before",
    "agent.swap.before",
    "agent.swap.after",
)
_BY_RUNS = sorted(faults.POINTS - {*_BY_LOADS, *_BY_RECOVERIES, *_BY_PARKING})
_CHILD = """
def handler(system, this):
    this.connect('shop', method='post', text='child')
    this.save(output_value={'grown': True})
"""
_FLOW = f"""
def handler(system, this):
    found = []
    for step in range(3):
        print('step', step)
        found.append(this.connect('shop', method='post', text=f'step {{step}}').get('output_value')['json'])
        system.setting(f'shelf {{step}}').save(found[-1])
    child = this.script({_CHILD!r})
    shelves = [system.setting(f'shelf {{step}}').get('value') for step in range(3)]
    this.set_output(found=found, child=child.get('output_value'), shelves=shelves)
    print('done')
"""
_CALLS = [*["connect", "setting_save"] * 3, "script", *["setting_get"] * 3, "set_output"]
_LOADED = """
def handler(system, this):
    this.connect('shop', method='post', text='before')
    this.create_dump('here')
    this.connect('shop', method='post', text='after')
    print('RESULT', this.restored is not None)
    if not this.restored:
        this.sleep(600)
"""
_WAITING = """
def handler(system, this):
    this.connect('shop', method='post', text='before')
    this.sleep(3)
    this.connect('shop', method='post', text='after')
"""


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


@pytest.fixture
def killed(tmp_path: Path, shop: Shop) -> Iterator[Platform]:
    """Not started: each test says what it is to die of."""
    platform = Platform(tmp_path / "data", "--park-after", "1")
    try:
        yield platform
        assert_nothing_left(platform)
        assert_savepoints_are_good(platform)
    finally:
        platform.stop()


def _until_dead(platform: Platform) -> None:
    assert platform.process is not None
    platform.process.wait(30)
    assert platform.process.returncode == -signal.SIGKILL, platform.controller_log()[-2000:]
    platform.channel.close()
    platform.start()


def _run_to_success(platform: Platform, shop: Shop, plan: str) -> str:
    """Start a flow, and the controller again if it dies meanwhile."""
    platform.start(plan)
    platform.connect("shop", "REST", url=shop.url)
    try:
        execution = platform.run(_FLOW)
    except grpc.RpcError:
        _until_dead(platform)
        execution = next(iter([found.id for found in platform.list()]), "") or platform.run(_FLOW)
    else:
        if "controller." in plan:
            _until_dead(platform)
    assert platform.wait_ended(execution).status == SUCCESS, f"{platform.get(execution)}\n{platform.log(execution)}"
    return execution


def test_tree_goes_on_when_it_is_resumed_while_a_dump_is_under_way(killed: Platform) -> None:
    killed.start("agent.dump.before:stall")
    execution = _paused_before_its_second_call(killed)
    killed.resume(execution)
    assert killed.wait_ended(execution).status == SUCCESS


def _paused_before_its_second_call(platform: Platform) -> str:
    """Its dump waits, and create_dump comes, whose dump waits in its turn. A pause that comes late meets the end."""
    script = """
        import time

        def handler(system, this):
            this.log('first')
            time.sleep(0.5)
            this.create_dump('here')
    """
    for _ in range(5):
        execution = platform.run(script)
        platform.wait_savepoint(execution, "log")
        with contextlib.suppress(grpc.RpcError):
            platform.pause(execution)
            return execution
        assert platform.wait_ended(execution).status == SUCCESS
    raise AssertionError("the pause was late five times")


def test_tree_goes_on_when_its_controller_dies_before_the_savepoint_that_was_to_freeze_it(killed: Platform) -> None:
    killed.start("agent.dump.before:stall@2")
    execution = killed.run("""
        import time

        def handler(system, this):
            this.log('first')
            time.sleep(1)
            this.get('id')
    """)
    killed.wait_savepoint(execution, "log")
    with contextlib.suppress(grpc.RpcError):
        killed.executions.PauseExecution(pb.PauseExecutionRequest(execution=execution), timeout=0.3)
    killed.kill_controller()
    # It finds a tree that runs, and whose agent has yet to do what the dead one asked.
    killed.start()
    assert killed.wait_ended(execution).status == SUCCESS


@pytest.mark.parametrize("point", ["controller.task.outcome.before", "controller.task.outcome.after"])
def test_record_of_a_request_goes_with_its_flow_when_the_controller_dies_at(
    point: str, killed: Platform, shop: Shop
) -> None:
    killed.start(f"{point}:kill")
    killed.connect("shop", "REST", url=shop.url)
    with shop.lock:
        # The shop does not answer yet.
        execution = killed.run("def handler(system, this):\n    this.connect('shop', method='post', text='late')\n")
        running = types_pb2.EXECUTION_STATUS_RUNNING

        def under_way() -> bool:
            return any(one.parent_id == execution and one.status == running for one in killed.list(with_tasks=True))

        killed.wait_until(under_way, execution)
        killed.executions.DeleteExecution(pb.DeleteExecutionRequest(execution=execution, force=True), timeout=60)
    _until_dead(killed)
    killed.wait_until(lambda: not killed.list(with_tasks=True))


def test_flow_sees_nothing_of_a_plan(killed: Platform) -> None:
    killed.start("agent.end.after:kill@9,controller.end.row.after:kill@9")
    execution = killed.run("""
        import glob, os

        def handler(system, this):
            seen = {name: value for name, value in os.environ.items() if 'FAULT' in name + value or 'kill' in value}
            this.set_output(seen=seen, settings=glob.glob('/flowsnap*/*'))
    """)
    killed.wait_ended(execution)
    assert killed.output(execution) == {"seen": {}, "settings": []}


@pytest.mark.parametrize("point", _BY_RUNS)
def test_flow_succeeds_and_repeats_no_completed_call_when_a_component_dies_at(
    point: str, killed: Platform, shop: Shop
) -> None:
    execution = _run_to_success(killed, shop, f"{point}:kill@{_TIMES.get(point, 2)}")
    assert_one_effect_each(shop, point)
    found = [shop.order(shop.keys(f"step {step}")[0], f"step {step}") for step in range(3)]
    assert killed.output(execution) == {"found": found, "child": {"grown": True}, "shelves": found}
    printed = list(dict.fromkeys(killed.log(execution, "stdout")))
    assert printed == ["step 0", "step 1", "step 2", "done"]
    assert [savepoint.call for savepoint in killed.savepoints(execution)] == _CALLS
    assert len([child for child in killed.list() if child.id != execution]) == 1


def assert_one_effect_each(shop: Shop, point: str) -> None:
    shop.assert_nothing_done_twice()
    for what in ("step 0", "step 1", "step 2", "child"):
        (key,) = shop.keys(what)
        # A controller may die between carrying a call out and recording that.
        assert shop.times(key) == 1 or point.startswith("controller."), shop.asked


@pytest.mark.parametrize("point", _BY_RECOVERIES)
def test_flow_succeeds_when_its_agent_dies_and_then_its_recovery_at(point: str, killed: Platform, shop: Shop) -> None:
    execution = _run_to_success(killed, shop, f"agent.reply.after:kill@5,{point}:kill@1")
    assert_one_effect_each(shop, point)
    # One that died before it could say so left that to nobody.
    said = any("recovered from savepoint" in line for line in killed.log(execution))
    assert said or point == "controller.restore.after"


@pytest.mark.parametrize("point", _BY_LOADS)
def test_execution_is_loaded_or_goes_on_when_a_component_dies_in_a_load_at(
    point: str, killed: Platform, shop: Shop
) -> None:
    killed.start(f"{point}:kill@1")
    killed.connect("shop", "REST", url=shop.url)
    execution = killed.run(_LOADED)
    assert killed.wait_results(execution, 1) == ["False"]
    try:
        killed.load(execution, name="here")
    except grpc.RpcError:
        if "controller." in point:
            _until_dead(killed)
    killed.wait_until(lambda: killed.get(execution).load_count or _load_again(killed, execution), execution)
    assert killed.wait_ended(execution).status == SUCCESS, killed.log(execution)
    assert killed.results(execution)[-1] == "True"
    shop.assert_nothing_done_twice()
    assert [shop.times(key) for key in shop.keys("before")] == [1]
    assert len(shop.keys("after")) == 2


@pytest.mark.parametrize("point", _BY_PARKING)
def test_execution_wakes_when_a_component_dies_as_it_is_parked_or_woken_at(
    point: str, killed: Platform, shop: Shop
) -> None:
    killed.start(",".join(["agent.end.after:kill@9"] * point.startswith("agent.") + [f"{point}:kill@1"]))
    killed.connect("shop", "REST", url=shop.url)
    execution = killed.run(_WAITING)
    if point.startswith("controller."):
        _until_dead(killed)
    assert killed.wait_ended(execution).status == SUCCESS, killed.log(execution)
    shop.assert_nothing_done_twice()
    assert [shop.times(key) for what in ("before", "after") for key in shop.keys(what)] == [1, 1]


def _load_again(platform: Platform, execution: str) -> bool:
    """It may be on its way back from the fault."""
    if platform.get(execution).status in ENDED:
        return True
    try:
        platform.load(execution, name="here")
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return False
        raise
    return True
