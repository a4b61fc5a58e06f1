"""What an execution used as two drawings over time: memory, and its share of processors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from controller.model import BranchOrigin, UsageSample
from controller.quantities import size

WIDTH, HEIGHT = 600, 80
_TOP = 4  # so that the highest line is seen as a whole
# More marks than this would be all that there is to see; the newest are shown.
_MOST_MARKS = 40


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something happened, with what."""

    x: float
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Plot:
    """lines: an SVG path for each container. least, most, now: as people read them."""

    title: str
    lines: Sequence[str]
    least: str
    most: str
    now: str


@dataclass(frozen=True, slots=True)
class UsagePlots:
    """Drawings of the same width and time."""

    plots: Sequence[Plot]
    marks: Sequence[Mark]
    since: datetime
    until: datetime
    width: int = WIDTH
    height: int = HEIGHT


def usage_plots(samples: Sequence[UsageSample], origins: Sequence[BranchOrigin]) -> UsagePlots | None:
    """samples: oldest first. origins: of the branches that loads began. None: there is nothing to draw yet."""
    if not samples:
        return None
    since, until = samples[0].time, max(sample.time for sample in samples)
    whole_s = max((until - since).total_seconds(), 1e-6)

    def x_of(time: datetime) -> float:
        return round(min(max((time - since).total_seconds() / whole_s, 0), 1) * WIDTH, 1)

    lives = [list(life) for _, life in itertools.groupby(samples, key=lambda sample: sample.container)]
    memory = [[(x_of(sample.time), float(sample.memory_bytes)) for sample in life] for life in lives]
    shares = [
        [point for before, after in itertools.pairwise(life) for point in _step(before, after, x_of)] for life in lives
    ]
    plots = [_plot("Memory", memory, lambda value: size(int(value)))]
    if any(shares):
        plots.append(_plot("Processor", shares, lambda value: f"{value:.0%}"))
    marks = [Mark(x_of(life[0].time), "container", "Went on in another container") for life in lives[1:]]
    marks += [
        Mark(x_of(one.created_at), "load", f"Savepoint {one.from_number} was loaded by {one.by}") for one in origins
    ]
    return UsagePlots(plots, sorted(marks, key=lambda mark: mark.x)[-_MOST_MARKS:], since, until)


def _step(before: UsageSample, after: UsageSample, x_of: Callable[[datetime], float]) -> Sequence[tuple[float, float]]:
    """The share of one processor between two samples, which is known for all the time between them."""
    passed_us = (after.time - before.time).total_seconds() * 1e6
    share = (after.cpu_us - before.cpu_us) / passed_us if passed_us > 0 else 0.0
    return [(x_of(before.time), share), (x_of(after.time), share)]


def _plot(title: str, lives: Sequence[Sequence[tuple[float, float]]], shown: Callable[[float], str]) -> Plot:
    values = [value for life in lives for _, value in life]
    top = max(values) or 1.0

    def path(life: Sequence[tuple[float, float]]) -> str:
        points = [f"{x:g} {HEIGHT - value / top * (HEIGHT - _TOP):.1f}" for x, value in life]
        # A single point is drawn as a dot by the round end of its line.
        return f"M{'L'.join(points if len(points) > 1 else points * 2)}"

    return Plot(
        title, [path(life) for life in lives if life], shown(min(values)), shown(max(values)), shown(values[-1])
    )
