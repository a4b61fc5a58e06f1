"""When an execution was on what a load would leave: the times of the log lines that fall on the old branch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from controller.model import BranchOrigin, SavepointRow

# From when to when; None: until now.
Span = tuple[datetime, datetime | None]

_BEGINNING = datetime.min.replace(tzinfo=UTC)


def left_spans(branch: int, fork: SavepointRow | None, origins: Sequence[BranchOrigin]) -> Sequence[Span]:
    """In the order of time.

    branch: the present one. fork: the last savepoint on the way to the present that is on the way to the one that is
    loaded, too; None: there is none.
    """
    begun = {origin.branch: origin for origin in origins}
    spans: list[Span] = []
    until: datetime | None = None
    while (fork is None or branch != fork.branch) and branch in begun:
        origin = begun[branch]
        spans.append((origin.created_at, until))
        branch, until = origin.from_branch, origin.from_created_at
    spans.append((fork.created_at if fork else _BEGINNING, until))
    return [(since, until) for since, until in reversed(spans) if until is None or since < until]
