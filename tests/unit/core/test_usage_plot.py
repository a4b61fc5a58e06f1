"""The drawing of what an execution used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from controller.model import BranchOrigin, UsageSample
from controller.web.usage_plot import HEIGHT, WIDTH, usage_plots

START = datetime(2026, 3, 1, tzinfo=UTC)


def _sample(second: float, memory: int, cpu_s: float, container: str = "c1") -> UsageSample:
    return UsageSample(START + timedelta(seconds=second), int(cpu_s * 1e6), memory, 2, container)


def test_nothing_is_drawn_when_there_is_nothing() -> None:
    assert usage_plots([], []) is None


def test_single_sample_is_a_dot_without_a_share() -> None:
    drawn = usage_plots([_sample(0, 0, 0)], [])
    assert drawn is not None
    (memory,) = drawn.plots
    assert memory.lines == [f"M0 {HEIGHT}.0L0 {HEIGHT}.0"]


def test_memory_and_share_are_drawn_over_time_with_marks() -> None:
    samples = [_sample(0, 1 << 20, 0), _sample(10, 4 << 20, 5), _sample(30, 2 << 20, 5, "c2"), _sample(40, 0, 25, "c2")]
    origin = BranchOrigin(2, 7, "", 1, "operator", START + timedelta(seconds=20), undone=False, from_created_at=START)
    drawn = usage_plots(samples, [origin])
    assert drawn is not None
    memory, processor = drawn.plots
    assert (memory.least, memory.most, memory.now) == ("0 B", "4.0 MiB", "0 B")
    assert (processor.least, processor.most, processor.now) == ("50%", "200%", "200%")
    assert [line.count("L") for line in memory.lines] == [1, 1]
    assert memory.lines[0].endswith(f"L{WIDTH // 4} 4.0")
    assert [(mark.x, mark.kind) for mark in drawn.marks] == [(300, "load"), (450, "container")]
