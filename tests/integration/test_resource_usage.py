"""What an execution uses, as its container's real cgroup tells it."""

from __future__ import annotations

import itertools
from pathlib import Path

from flowsnap.v1 import control_pb2 as pb
from platform_under_test import SUCCESS, Platform, containers, running_platform

HELD_BYTES = 60 << 20
BURNT_S = 0.5

FLOW = f"""
    import time

    def handler(system, this):
        block = b"x" * {HELD_BYTES}
        while time.process_time() < {BURNT_S}:
            pass
        this.sleep(4)
        this.success(str(len(block)))
"""


def _usage(platform: Platform, execution: str) -> pb.GetUsageResponse:
    return platform.executions.GetUsage(pb.GetUsageRequest(execution=execution), timeout=10)


def test_usage_is_followed_over_containers_while_the_waiting_flow_is_put_away(tmp_path: Path) -> None:
    # Looked at so often, an idle tree would never rest if that woke it.
    with running_platform(tmp_path / "data", "--usage-every", "0.1", "--park-after", "0.5") as platform:
        execution = platform.run(FLOW)
        platform.wait_until(lambda: platform.get(execution).parked, execution)
        assert platform.wait_ended(execution).status == SUCCESS
        platform.wait_until(lambda: not containers(platform.data_dir))
        usage = _usage(platform, execution)
    # A long list is never the reason that these hold.
    assert 3 <= len(usage.samples) < 200
    assert HELD_BYTES < usage.peak_memory_bytes < 10 * HELD_BYTES
    assert usage.cpu_us > BURNT_S * 1_000_000
    assert usage.peak_pids >= 2
    first, second = [name for name, _ in itertools.groupby(one.container for one in usage.samples)]
    assert first != second
    times = [one.time.ToNanoseconds() for one in usage.samples]
    assert times == sorted(times)
    cpu = [one.cpu_us for one in usage.samples]
    assert cpu == sorted(cpu)


def test_usage_of_a_short_execution_is_told_at_its_end(platform: Platform) -> None:
    execution = platform.run("def handler(system, this):\n    this.success('short')\n")
    platform.wait_ended(execution)
    platform.wait_until(lambda: _usage(platform, execution).samples, execution)
    assert _usage(platform, execution).cpu_us > 0
