"""What changed between two versions of a flow, line by line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.model import Flow

# Comparing takes time that grows with the square of what differs.
_MOST_LINES = 5000
_CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Line:
    """kind: same, added, removed, gap. Numbers are 0 where the line is not in that version."""

    kind: str
    before: int
    after: int
    text: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """kind: added, removed, changed. lines: empty where they can't be compared, and words say why."""

    path: str
    kind: str
    lines: Sequence[Line] = ()
    words: str = ""


def changes(before: Flow, after: Flow) -> Sequence[FileChange]:
    """By path, the script first; without the files that are the same."""
    old, new = _files(before), _files(after)
    return [_change(path, old.get(path), new.get(path)) for path in {**new, **old} if old.get(path) != new.get(path)]


def _files(flow: Flow) -> Mapping[str, bytes]:
    # The script's own name differs between versions with and without files beside it.
    return {"": flow.script.encode(), **{file.path: file.content for file in flow.files}}


def _change(path: str, old: bytes | None, new: bytes | None) -> FileChange:
    kind = "added" if old is None else "removed" if new is None else "changed"
    try:
        before, after = ((content or b"").decode().splitlines() for content in (old, new))
    except UnicodeDecodeError:
        return FileChange(path, kind, words="It is no text.")
    if max(len(before), len(after)) > _MOST_LINES:
        return FileChange(path, kind, words=f"It has more than {_MOST_LINES} lines.")
    lines = list(_lines(before, after))
    return FileChange(path, kind, lines, "" if lines else "Only its line ends differ.")


def _lines(before: Sequence[str], after: Sequence[str]) -> Iterator[Line]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for at, group in enumerate(matcher.get_grouped_opcodes(_CONTEXT)):
        if at:
            yield Line("gap", 0, 0, "")
        for tag, first, last, new_first, new_last in group:
            if tag == "equal":
                for offset in range(last - first):
                    yield Line("same", first + offset + 1, new_first + offset + 1, before[first + offset])
                continue
            for number in range(first, last):
                yield Line("removed", number + 1, 0, before[number])
            for number in range(new_first, new_last):
                yield Line("added", 0, number + 1, after[number])
