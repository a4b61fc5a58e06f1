"""Savepoints as a tree: one line each, a branch's below one another, the branches that left it indented."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from controller.cli import printer, records, units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import types_pb2
    from rich.text import Text


def show(execution: types_pb2.Execution, savepoints: Sequence[types_pb2.Savepoint]) -> None:
    """Print it. What a branch began from stands above it; the savepoint that the execution stands on has a *."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    terminal = sys.stdout.isatty()
    # Piped lines are never cut.
    console = Console(width=shutil.get_terminal_size().columns if terminal else 10_000, soft_wrap=not terminal)
    known = {one.id for one in savepoints}
    children: dict[str, list[types_pb2.Savepoint]] = {}
    for one in savepoints:
        children.setdefault(one.parent_id if one.parent_id in known else "", []).append(one)
    root = Tree(Text(printer.cell(execution.name), style="bold"))
    # A stack and no recursion: branches may be as many as loads.
    left: list[tuple[Tree, types_pb2.Savepoint, int]] = [(root, one, 0) for one in reversed(children.get("", []))]
    while left:
        place, one, above = left.pop()
        if one.branch != above:
            place = place.add(Text(f"branch {one.branch}", style="dim"))
        node = place.add(_line(one, head=one.id == execution.head_savepoint_id))
        following = children.get(one.id, [])
        # The same branch goes on at the same depth, behind those that began here.
        left += [(place, child, one.branch) for child in following if child.branch == one.branch]
        left += [(node, child, one.branch) for child in reversed(following) if child.branch != one.branch]
    console.print(root, soft_wrap=not terminal, no_wrap=True, overflow="ellipsis" if terminal else "ignore")


def _line(savepoint: types_pb2.Savepoint, *, head: bool) -> Text:
    from rich.text import Text

    kind = records.kind(savepoint)
    line = Text(str(savepoint.number))
    if savepoint.name:
        line.append(f"  {printer.cell(savepoint.name)!r}", style="bold green")
    for word in (
        "" if kind in {"CALL", "EXPLICIT"} else kind,
        savepoint.call,
        records.place(savepoint.file, savepoint.line),
        units.ago(records.moment(savepoint, "created_at")),
    ):
        if word:
            line.append(f"  {printer.cell(word)}", style="yellow" if word == kind else "")
    if head:
        line.append("  *", style="bold cyan")
    return line
