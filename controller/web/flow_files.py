"""The files of a flow as pages show them: the script, modules, and what else stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from controller.model import FlowFile
from controller.web.source import lines_of

_MOST_SHOWN_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ShownFile:
    """lines: None where it is not shown, and words say why."""

    path: str
    size_bytes: int
    lines: Sequence[Markup] | None
    words: str = ""


def shown(file: FlowFile) -> ShownFile:
    size = len(file.content)
    if size > _MOST_SHOWN_BYTES:
        return ShownFile(file.path, size, None, "It is too large to be shown.")
    try:
        text = file.content.decode()
    except UnicodeDecodeError:
        return ShownFile(file.path, size, None, "It is no text.")
    return ShownFile(file.path, size, lines_of(text, python=file.path.endswith(".py")))
