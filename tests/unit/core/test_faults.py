"""Points at which a component can be made to die."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import faults

ROOT = Path(__file__).parents[3]
_REACH = re.compile(r'faults\.reach\("([^"]+)"\)')


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.arm("", "controller")


def test_each_point_is_reached_in_one_place_and_by_its_own_component() -> None:
    reached = [
        (point, "agent" if folder == "agent" else "controller")
        for folder in ("agent", "controller", "store")
        for file in (ROOT / folder).rglob("*.py")
        for point in _REACH.findall(file.read_text())
    ]
    assert sorted(point for point, _ in reached) == sorted(faults.POINTS)
    assert [point for point, component in reached if point.partition(".")[0] != component] == []


@pytest.mark.parametrize("times", [1, 3])
def test_process_is_killed_when_a_point_is_reached_for_the_nth_time(times: int) -> None:
    program = f"""
import faults
faults.arm("controller.commit.before:kill@{times}", "controller")
for _ in range(5):
    faults.reach("controller.commit.row.before")
    print("alive", flush=True)
    faults.reach("controller.commit.before")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["alive"] * times


def test_each_agent_gets_one_fault_when_a_plan_has_several() -> None:
    faults.arm("agent.dump.after:kill@2,controller.commit.before:kill,agent.swap.before:kill", "controller")
    assert [faults.hand_on() for _ in range(3)] == ["agent.dump.after:kill@2", "agent.swap.before:kill", ""]


@pytest.mark.parametrize(
    "plan",
    [
        "nowhere:kill",
        "agent.dump.after",
        "agent.dump.after:kill@x",
        "agent.dump.after:kill@0",
        "agent.dump.after:stop@2",
    ],
)
def test_plan_is_refused_when_it_is_none(plan: str) -> None:
    with pytest.raises(ValueError, match="is no fault"):
        faults.arm(plan, "agent")
