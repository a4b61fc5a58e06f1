"""Times, sizes, statuses and JSON values as pages show them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup, escape

from controller import quantities
from controller.model import Json, SavepointKind, Status

_SHOWN_JSON_BYTES = 64 * 1024

KIND_WORDS = {
    SavepointKind.CALL: "at a call",
    SavepointKind.EXPLICIT: "by the script",
    SavepointKind.OPERATOR: "by an operator",
    SavepointKind.BEFORE_LOAD: "before a load",
    SavepointKind.PAUSE: "at a pause",
}
STATUS_WORDS = {
    Status.NEW: "Starting",
    Status.RUNNING: "Running",
    Status.SLEEPING: "Sleeping",
    Status.PAUSED: "Paused",
    Status.ENDED_SUCCESS: "Success",
    Status.ENDED_ERROR: "Error",
    Status.ENDED_CANCELLED: "Cancelled",
    Status.WAITING_CHILD: "Waits for child",
    Status.WAITING_MESSAGE: "Waits for message",
    Status.WAITING_LOCK: "Waits for lock",
}

ENDED_WORDS = {
    Status.ENDED_SUCCESS: "with success",
    Status.ENDED_ERROR: "with an error",
    Status.ENDED_CANCELLED: "by being cancelled",
}


def milliseconds(microseconds: int) -> str:
    value = microseconds / 1000
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"  # noqa: PLR2004


def duration(since: datetime | None, until: datetime | None) -> str:
    """From 0.3 s to 2 d 3 h; empty before the start."""
    if since is None:
        return ""
    seconds = max(((until or datetime.now(UTC)) - since).total_seconds(), 0)
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size_s, smaller, smaller_s in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size_s:
            return f"{whole // size_s} {unit} {whole % size_s // smaller_s} {smaller}"
    return f"{whole} s"


def iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc(time: datetime) -> str:
    """What stands there until the browser shows its own time."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def pretty(value: Json) -> tuple[str, bool]:
    """Indented JSON, and whether it was cut because it is long."""
    if len(value) > _SHOWN_JSON_BYTES:
        return value[:_SHOWN_JSON_BYTES].decode(errors="replace"), True
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False), False
    except ValueError:
        return value.decode(errors="replace"), False


def plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def digest(name: str) -> str:
    """Of any name something that can be part of an element's id."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def ranges(numbers: Sequence[int], most: int) -> str:
    """Ascending numbers as people write them: "1-9, 11", with longer dashes; of more ranges than most the last ones."""
    words = quantities.ranges(numbers, "–")  # noqa: RUF001
    return ", ".join(["…"] * (len(words) > most) + words[-most:])


def with_found(text: str, found: str) -> Markup:
    """The text, what was found in it marked."""
    pieces = re.split(f"({re.escape(found)})", text, flags=re.IGNORECASE)
    return Markup().join(
        Markup('<mark class="text-found">{}</mark>').format(piece) if at % 2 else escape(piece)
        for at, piece in enumerate(pieces)
    )
