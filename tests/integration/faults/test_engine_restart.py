"""The Docker engine ends and comes back: all go on by themselves, nothing is done twice, nothing is left over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from counting import COUNTING, assert_counted
from flowsnap.v1 import platform_pb2, types_pb2
from leftovers import assert_nothing_left, assert_savepoints_are_good
from own_engine import OwnEngine, own_engine
from platform_under_test import CANCELLED, ENDED, SUCCESS, Platform, containers, running_platform
from shop import Shop, open_shop

SLEEPING = types_pb2.EXECUTION_STATUS_SLEEPING
WAITING_CHILD = types_pb2.EXECUTION_STATUS_WAITING_CHILD
SLEEP_S = 5

# A thread that looks after something: such a tree is never parked.
HOUSED = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n"
ORDERING = """
import time

def handler(system, this):
    name, turn = this.get("name"), 0
    while not system.setting("enough").exists():
        this.connect("shop", method="post", text=f"{name} {turn}")
        turn += 1
        this.set_output("turns", turn)
        time.sleep(0.3)
    this.set_output("turns", turn)
"""
PARENT = """
def handler(system, this):
    this.flow("ordering", name="child")
    this.script("def handler(system, this):\\n    this.sleep(0.1)\\n")
"""
DONE = "def handler(system, this):\n    this.create_dump('here')\n    this.success('done')\n"

Ending = Callable[[OwnEngine], None]


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    with own_engine() as engine:
        yield engine


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


@pytest.fixture
def live_restore() -> bool:
    return False


@pytest.fixture
def platform(
    engine: OwnEngine, live_restore: bool, shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Platform]:
    """A controller on that engine."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    engine.be(live_restore=live_restore)
    try:
        with running_platform(tmp_path / "data", "--network", "none", "--park-after", "0.5") as platform:
            try:
                platform.connect("shop", "REST", url=shop.url)
                yield platform
            finally:
                engine.be(live_restore=live_restore)
    except BaseException:
        print(engine.log())
        raise


@dataclass(frozen=True)
class Crowd:
    """Executions that do whatever there is to do for one; child is that of parent, done has ended."""

    ordering: str
    sleeper: str
    parked: str
    parent: str
    child: str
    done: str

    @property
    def housed(self) -> tuple[str, ...]:
        return self.ordering, self.sleeper, self.child


def _gather(platform: Platform, shop: Shop) -> Crowd:
    """Returns when each does what it is there for."""
    platform.push("ordering", ORDERING)
    done = platform.run(DONE, name="done")
    parent = platform.run(PARENT, name="parent")
    ordering = platform.run(ORDERING, name="ordering")
    platform.wait_ended(done)
    for name in ("ordering", "child"):
        platform.wait_until(lambda: shop.keys(f"{name} 1"), parent)  # noqa: B023
    _wait_parked(platform, parent)
    (child,) = (found.id for found in platform.list() if found.parent_id == parent)
    assert platform.get(parent).status == WAITING_CHILD
    sleeper = platform.run(HOUSED + _flat(COUNTING), SLEEP_S, name="sleeper")
    parked = platform.run(COUNTING, SLEEP_S, name="parked")
    platform.wait_status(sleeper, SLEEPING)
    _wait_parked(platform, parked)
    return Crowd(ordering, sleeper, parked, parent, child, done)


def _wait_parked(platform: Platform, execution: str) -> None:
    platform.wait_until(lambda: platform.get(execution).parked, execution)
    platform.wait_until(lambda: not any(execution in name for name in containers(platform.data_dir)), execution)


def _flat(script: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in script.splitlines())


def _orders(platform: Platform, shop: Shop, execution: str) -> int:
    name = platform.get(execution).name
    with shop.lock:
        return sum(orders[0].startswith(f"{name} ") for orders in shop.orders.values())


def _wait_orders(platform: Platform, shop: Shop, execution: str, count: int = 2) -> None:
    """So many further ones."""
    enough = _orders(platform, shop, execution) + count
    platform.wait_until(lambda: _orders(platform, shop, execution) >= enough, execution)


def _wait_recovered(platform: Platform, execution: str, times: int = 1) -> None:
    platform.wait_until(lambda: platform.get(execution).recovery_count >= times, execution)
    assert platform.get(execution).status not in ENDED, platform.log(execution)


def _finish(platform: Platform, shop: Shop, crowd: Crowd) -> None:
    """All go on to a good end, nothing was done twice or is left, and each savepoint can be loaded."""
    for execution in (crowd.ordering, crowd.child):
        _wait_orders(platform, shop, execution)
    platform.save_setting("enough", True)
    for execution in (crowd.sleeper, crowd.parked):
        assert_counted(platform, execution)
    for found in platform.list():
        ended = platform.wait_ended(found.id)
        assert ended.status == SUCCESS, f"{ended}\n{platform.log(found.id)}"
    for execution in (crowd.ordering, crowd.child):
        assert platform.output(execution) == {"turns": _orders(platform, shop, execution)}
        # One key each, and none left out.
        name = platform.get(execution).name
        turns = range(_orders(platform, shop, execution))
        assert [len(shop.keys(f"{name} {turn}")) for turn in turns] == [1 for _ in turns]
    shop.assert_nothing_done_twice()
    assert_nothing_left(platform)
    assert_savepoints_are_good(platform)


@pytest.mark.parametrize("end", [OwnEngine.kill_with_containerd, OwnEngine.stop])
def test_all_go_on_from_their_newest_savepoints_when_the_engine_ended(
    platform: Platform, shop: Shop, engine: OwnEngine, end: Ending
) -> None:
    crowd = _gather(platform, shop)
    end(engine)
    engine.start()
    for execution in crowd.housed:
        _wait_recovered(platform, execution)
    _finish(platform, shop, crowd)
    for execution in crowd.housed:
        (line,) = [line for line in platform.log(execution, "system") if "recovered" in line]
        assert "ended with the Docker engine" in line or "was stopped" in line, line


@pytest.mark.parametrize("live_restore", [True])
def test_containers_that_outlive_the_engine_are_not_touched(platform: Platform, shop: Shop, engine: OwnEngine) -> None:
    crowd = _gather(platform, shop)
    before = {platform.container(execution) for execution in (crowd.ordering, crowd.child)}
    for end in (OwnEngine.kill, OwnEngine.stop):
        end(engine)
        _wait_orders(platform, shop, crowd.ordering)
        engine.start(live_restore=True)
        _wait_orders(platform, shop, crowd.ordering)
        assert before <= set(containers(platform.data_dir))
    for execution in crowd.housed:
        assert platform.get(execution).recovery_count == 0
    _finish(platform, shop, crowd)


def test_requests_fail_clearly_and_all_else_goes_on_while_the_engine_is_away(
    platform: Platform, shop: Shop, engine: OwnEngine
) -> None:
    crowd = _gather(platform, shop)
    engine.kill()
    _refused(lambda: platform.run(DONE))
    _refused(lambda: platform.load(crowd.done, name="here"))
    assert platform.get(crowd.done).message == "done"
    # Their waits are over meanwhile: one has its container, the other is to get one.
    platform.wait_until(lambda: "awake" in _counted(platform, "sleeper"), crowd.sleeper)
    platform.wait_until(lambda: f"{crowd.parked} can't be recovered yet" in platform.controller_log(), crowd.parked)
    assert "awake" not in _counted(platform, "parked")
    for execution in (crowd.ordering, crowd.child):
        _wait_orders(platform, shop, execution)
    engine.start()
    assert platform.load(crowd.done, name="here").execution.branch == 2
    platform.wait_ended(platform.run(DONE))
    _finish(platform, shop, crowd)


@pytest.mark.parametrize("end", [OwnEngine.kill, OwnEngine.stop])
def test_controller_that_starts_while_the_engine_is_away_waits_for_it(
    platform: Platform, shop: Shop, engine: OwnEngine, end: Ending
) -> None:
    crowd = _gather(platform, shop)
    end(engine)
    platform.kill_controller()
    platform.start()
    _refused(lambda: platform.run(DONE))
    if end is OwnEngine.kill:
        for execution in (crowd.ordering, crowd.child):
            _wait_orders(platform, shop, execution)
    platform.wait_until(lambda: f"{crowd.parked} can't be recovered yet" in platform.controller_log(), crowd.parked)
    assert [found.id for found in platform.list() if found.status in ENDED and found.id != crowd.done] == [
        execution for execution in [crowd.sleeper] if platform.get(execution).status == SUCCESS
    ]
    engine.start()
    for execution in (crowd.ordering, crowd.child):
        _wait_recovered(platform, execution)
    _finish(platform, shop, crowd)


def test_engine_that_ends_again_and_again_is_no_fault_of_its_executions(
    platform: Platform, shop: Shop, engine: OwnEngine
) -> None:
    """No savepoint is taken in between."""
    execution = platform.run(HOUSED + "def handler(system, this):\n    this.sleep(3600)\n")
    platform.wait_status(execution, SLEEPING)
    platform.wait_savepoint(execution, "sleep")
    for times, end in enumerate((OwnEngine.kill, OwnEngine.stop, OwnEngine.kill), 1):
        end(engine)
        engine.start()
        _wait_recovered(platform, execution, times)
        platform.wait_until(lambda: _is_attached(platform, execution), execution)
    platform.cancel(execution)
    assert platform.wait_ended(execution).status == CANCELLED
    assert_nothing_left(platform)


def _is_attached(platform: Platform, execution: str) -> bool:
    try:
        platform.create_savepoint(execution)
    except grpc.RpcError:
        return False
    return True


def _counted(platform: Platform, name: str) -> str:
    request = platform_pb2.GetSettingRequest(name=f"count-{name}")
    return platform.settings.GetSetting(request, timeout=10).value_json.decode()


def _refused(request: Callable[[], object]) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        request()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "the Docker engine does not answer" in refused.value.details()
    assert "systemctl start docker" in refused.value.details()
