"""Quantities as people write them: sizes, durations and times, in both directions."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from controller.cli.errors import usage_error
from controller.quantities import ranges, size

__all__ = ["ago", "iso", "milliseconds", "parse_duration", "parse_size", "ranges", "size"]

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_EXPONENTS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_INT64_MAX = 2**63 - 1

KIB = 1024


def parse_size(text: str) -> int:
    """Bytes of "512m", "1.5g", "65536"; units are powers of 1024, as in Docker. Raises CliError."""
    match = _SIZE.fullmatch(text.strip())
    size_bytes = int(float(match["number"]) * KIB ** _EXPONENTS[match["unit"].lower()]) if match else 0
    if not 0 < size_bytes <= _INT64_MAX:
        raise usage_error(f"{text!r} is not a size: write a number with k, m, g or t, such as 512m")
    return size_bytes


def parse_duration(text: str) -> int:
    """Whole seconds of "90s", "5m", "1.5h", "2d", "30". Raises CliError."""
    match = _DURATION.fullmatch(text.strip())
    duration_s = int(float(match["number"]) * _SECONDS[match["unit"]]) if match else 0
    if not 0 < duration_s <= _INT64_MAX:
        raise usage_error(f"{text!r} is not a duration: write a number with s, m, h or d, such as 90s")
    return duration_s


def milliseconds(duration_us: int) -> str:
    """Microseconds as milliseconds with one digit: "7.9"."""
    return f"{duration_us / 1000:.1f}"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago, in the largest unit that fits: "12s", "3m", "5h", "9d"; "-" for None."""
    if moment is None:
        return "-"
    seconds = max(0, int(((now or datetime.now(UTC)) - moment).total_seconds()))
    for limit, unit_s, unit in ((120, 1, "s"), (7200, 60, "m"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // unit_s}{unit}"
    return f"{seconds // 86400}d"


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with microseconds: "2025-03-01T12:00:00.000000Z"."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
