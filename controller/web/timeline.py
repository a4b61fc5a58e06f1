"""The timeline of an execution as a drawing: a lane for each branch, a dot for each run of savepoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.model import BranchOrigin, SavepointRow, SavepointRun

# A dot more would not be told from its neighbours.
MOST_COLUMNS = 120
_MOST_LANES = 12
_MOST_DOTS = 360
_LANE_HEIGHT = 34
_TOP = 22
_BOTTOM = 20
_LEFT = 22
_WIDTH = 1040
_REACH = 12
_WIDEST_STEP, _NARROWEST_STEP = 56, 9


@dataclass(frozen=True, slots=True)
class Lane:
    """A branch. x1, x2: where it is drawn; present: the execution is on it."""

    branch: int
    y: int
    x1: int
    x2: int
    present: bool
    origin: BranchOrigin | None


@dataclass(frozen=True, slots=True)
class Dot:
    """A savepoint, or the one that stands for several."""

    x: int
    y: int
    savepoint: SavepointRow
    count: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Sizes in pixels. first and last: the numbers that are shown; total: of all savepoints."""

    width: int
    height: int
    lanes: Sequence[Lane]
    links: Sequence[str]
    dots: Sequence[Dot]
    now: tuple[int, int] | None
    first: int
    last: int
    total: int
    hidden_lanes: int
    reach: float  # how far around a dot a pointer finds it

    @property
    def thinned(self) -> bool:
        return any(dot.count > 1 for dot in self.dots)

    @property
    def partial(self) -> bool:
        return self.first > 1 or self.last < self.total


def step_of(first: int, last: int) -> int:
    """How many numbers one dot may stand for, so that there are not too many dots."""
    return max(-(-(last - first + 1) // MOST_COLUMNS), 1)


def drawn(
    runs: Sequence[SavepointRun],
    origins: Sequence[BranchOrigin],
    *,
    first: int,
    last: int,
    total: int,
    branch: int,
    chosen: SavepointRow | None,
) -> Timeline:
    """runs: by number. branch: the one that the execution is on."""
    begun = {origin.branch: origin for origin in origins}
    branches = sorted({run.savepoint.branch for run in runs} | {branch})
    shown = branches[-_MOST_LANES:]
    runs = [run for run in runs if run.savepoint.branch in shown][-_MOST_DOTS:]
    step = min(max(_WIDTH // max(len(runs) + 1, 1), _NARROWEST_STEP), _WIDEST_STEP)
    lane_y = {number: _TOP + at * _LANE_HEIGHT for at, number in enumerate(shown)}
    marked = _nearest(runs, chosen)
    dots = [
        Dot(
            _LEFT + at * step,
            lane_y[run.savepoint.branch],
            run.savepoint,
            run.count,
            run is marked,
        )
        for at, run in enumerate(runs)
    ]
    end = _LEFT + len(dots) * step
    by_branch: dict[int, list[Dot]] = {number: [] for number in shown}
    for dot in dots:
        by_branch[dot.savepoint.branch].append(dot)
    lanes = []
    for number in shown:
        xs = [dot.x for dot in by_branch[number]]
        present = number == branch
        lanes.append(
            Lane(
                number,
                lane_y[number],
                min(xs, default=end),
                end if present else max(xs, default=end),
                present,
                begun.get(number),
            )
        )
    return Timeline(
        width=max(end + 26, 320),
        height=_TOP + (len(shown) - 1) * _LANE_HEIGHT + _BOTTOM,
        lanes=lanes,
        links=_links(lanes, by_branch),
        dots=dots,
        now=(end, lane_y[branch]) if branch in lane_y and last >= total else None,
        first=first,
        last=last,
        total=total,
        hidden_lanes=len(branches) - len(shown),
        reach=min(step / 2, _REACH),
    )


def _nearest(runs: Sequence[SavepointRun], chosen: SavepointRow | None) -> SavepointRun | None:
    """The run of the chosen savepoint, or what stands for it."""
    if chosen is None:
        return None
    of_branch = [run for run in runs if run.savepoint.branch == chosen.branch]
    return min(of_branch, key=lambda run: abs(run.savepoint.number - chosen.number), default=None)


def _links(lanes: Sequence[Lane], by_branch: Mapping[int, Sequence[Dot]]) -> Sequence[str]:
    """From the savepoint that was loaded to the branch that began there, as SVG paths."""
    paths = []
    for lane in lanes:
        if lane.origin is None:
            continue
        number = lane.origin.from_number
        before = by_branch.get(lane.origin.from_branch) or ()
        nearest = min(before, key=lambda dot: abs(dot.savepoint.number - number), default=None)
        if nearest is None:
            paths.append(f"M0 {lane.y}H{lane.x1}")
            continue
        bend = min(nearest.x + 16, lane.x1)
        paths.append(f"M{nearest.x} {nearest.y}C{nearest.x} {lane.y} {nearest.x} {lane.y} {bend} {lane.y}H{lane.x1}")
    return paths
