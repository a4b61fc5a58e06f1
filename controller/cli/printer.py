"""What snapctl prints: results to stdout as a table or as JSON, everything else to stderr."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# What stands behind the status of an execution that has no container.
PARKED = " (parked)"

_STATUS_STYLES = {
    "RUNNING": "cyan",
    "NEW": "cyan",
    "PAUSED": "yellow",
    "ENDED_SUCCESS": "green",
    "ENDED_ERROR": "red",
    "ENDED_CANCELLED": "magenta",
    "READY": "green",
    "AWAY": "red",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}

# Columns between two cells, and what a flexible column keeps on a narrow terminal.
_GAP = 2
_NARROWEST = 8

# Control characters of a name or message could move the cursor or recolour the terminal.
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "�")


class Output(enum.StrEnum):
    """How results are printed."""

    table = "table"
    json = "json"


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column; flexible ones give way (with an ellipsis) when the terminal is narrow."""

    title: str
    right: bool = False
    flexible: bool = False


def emit(output: Output, document: Any, show: Callable[[], None]) -> None:
    """Print the document as JSON, or call show to print it for people."""
    if output is Output.json:
        json_document(document)
    else:
        show()


def json_document(document: Any) -> None:
    """One indented JSON document."""
    result(json.dumps(document, indent=2, ensure_ascii=False))


def json_line(document: Any) -> None:
    """One JSON document on one line, for streams."""
    result(json.dumps(document, ensure_ascii=False))


def result(text: str) -> None:
    """One line (or block) of results."""
    sys.stdout.write(text + "\n")


def say(text: str) -> None:
    """A message for the person: progress, hints, what was done. Never data."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def cell(text: str) -> str:
    """Text that stays on its line and can't steer the terminal."""
    return text.translate(_CONTROLS)


def texts(script: str, files: Sequence[dict[str, Any]]) -> None:
    """A flow's script, then the files beside it, each under its path."""
    result(script.removesuffix("\n"))
    for file in files:
        result(f"\n# --- {cell(file['path'])}")
        result(file["content"].removesuffix("\n") if "content" in file else "# (binary)")


def styled(text: str, style_of: str) -> str:
    """Text in the colour of a status or level, where standard output takes colours."""
    if not sys.stdout.isatty():
        return text
    from rich.console import Console
    from rich.text import Text

    console = Console()
    with console.capture() as capture:
        console.print(Text(text, style=_STATUS_STYLES.get(style_of, "")), end="")
    return capture.get()


def last_line(text: str) -> str:
    """The line of a message that says most: of a traceback the last one."""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """With rich on a terminal, aligned text elsewhere: rich takes 40 ms to import."""
    clean = [[cell(text) for text in row] for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, clean)
    else:
        _plain_table(columns, clean)


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """One labelled value per line; empty values are left out, further lines of a value are indented."""
    shown = [(label, value) for label, value in pairs if value]
    width = max((len(label) for label, _ in shown), default=0) + 2
    for label, value in shown:
        first, *rest = value.splitlines()
        result(f"{label + ':':<{width}}{cell(first)}")
        for line in rest:
            result(f"{'':<{width}}{cell(line)}")


def _plain_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    grid = [[column.title for column in columns], *rows]
    widths = [max(len(row[index]) for row in grid) for index in range(len(columns))]
    for row in grid:
        cells = (
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(row, widths, columns, strict=True)
        )
        result((" " * _GAP).join(cells).rstrip())


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = _fitting_widths(columns, rows, console.width)
    # Where even the narrowest doesn't fit, lines overflow: a cell without its number says nothing.
    console.width = max(console.width, sum(widths) + _GAP * len(widths))
    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for column, width in zip(columns, widths, strict=True):
        drawn.add_column(
            column.title, justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis", width=width
        )
    for row in rows:
        # Text, because a name such as "[red]" is not markup.
        drawn.add_row(*(Text(text, style=_STATUS_STYLES.get(text.removesuffix(PARKED), "")) for text in row))
    console.print(drawn)


def _fitting_widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], total: int) -> list[int]:
    """What each column needs, less what the widest flexible ones must give for the total to be met."""
    widths = [max(len(column.title), *(len(row[index]) for row in rows), 0) for index, column in enumerate(columns)]
    flexible = [index for index, column in enumerate(columns) if column.flexible]
    while flexible and sum(widths) + _GAP * len(widths) > total:
        widest = max(flexible, key=lambda index: widths[index])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    return widths
