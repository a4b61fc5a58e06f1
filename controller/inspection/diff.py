"""What differs between two savepoints: processes, variables, scratch files, pages of memory."""

from __future__ import annotations

import enum
import operator
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from controller.inspection.memory import PAGE, AreaKind, Stretch
from controller.inspection.report import Inspection, Process, Report

K = TypeVar("K")
V = TypeVar("V")

# A value is shown up to so many characters, and from so many before those that differ.
_SHOWN: Final = 200
_BEFORE: Final = 40


class ChangeKind(enum.StrEnum):
    """What happened between the two."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    CHANGED = "CHANGED"


@dataclass(frozen=True, slots=True)
class ProcessChange:
    """change: in words."""

    kind: ChangeKind
    pid: int
    command: str
    change: str


@dataclass(frozen=True, slots=True)
class VariableChange:
    """function: empty for a variable of a module. depth: 0 is the outermost frame of the user's code."""

    kind: ChangeKind
    pid: int
    thread_id: int
    file: str
    function: str
    depth: int
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ScratchFileChange:
    """Bytes; -1 where there is no file."""

    kind: ChangeKind
    path: str
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """Pages of one process in all areas of a kind, or of one mapped file."""

    pid: int
    kind: AreaKind
    path: str
    changed_pages: int
    added_pages: int
    removed_pages: int


@dataclass(frozen=True, slots=True)
class Difference:
    """problems: what could not be read, in words."""

    processes: tuple[ProcessChange, ...]
    variables: tuple[VariableChange, ...]
    scratch_files: tuple[ScratchFileChange, ...]
    memory: tuple[MemoryChange, ...]
    problems: tuple[str, ...]


def compare(before: Inspection, after: Inspection) -> Difference:
    """Raises Unreadable, and what reading the store raises."""
    old, new = before.report(), after.report()
    return Difference(
        processes=tuple(_processes(old, new)),
        variables=tuple(_variables(old, new)),
        scratch_files=tuple(_scratch_files(before, after)),
        memory=tuple(_memory(before, after)),
        problems=tuple(dict.fromkeys((*old.all_problems, *new.all_problems))),
    )


def _paired(old: Mapping[K, V], new: Mapping[K, V]) -> Iterator[tuple[K, V | None, V | None, ChangeKind]]:
    """What is in one of them, or in both but not the same."""
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if before is None:
            yield key, None, after, ChangeKind.ADDED
        elif after is None:
            yield key, before, None, ChangeKind.REMOVED
        elif before != after:
            yield key, before, after, ChangeKind.CHANGED


def _processes(old: Report, new: Report) -> Iterator[ProcessChange]:
    befores = {process.pid: process for process in old.processes}
    afters = {process.pid: process for process in new.processes}
    for pid, before, after, kind in _paired(befores, afters):
        known = after or before
        if known is None:
            continue
        change = _change(before, after) if before and after else " ".join(known.arguments)
        if change or kind is not ChangeKind.CHANGED:
            yield ProcessChange(kind, pid, known.command, change)


def _change(before: Process, after: Process) -> str:
    changes = []
    for what, one, other in (
        ("command", before.command, after.command),
        ("arguments", " ".join(before.arguments), " ".join(after.arguments)),
        ("state", before.state, after.state),
        ("parent", str(before.parent_pid), str(after.parent_pid)),
        ("threads", _numbers(before.thread_ids), _numbers(after.thread_ids)),
    ):
        if one != other:
            changes.append(f"{what}: {one} became {other}")
    return "; ".join(changes)


def _numbers(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


# Process, thread, file, function, depth, name.
_Key = tuple[int, int, str, str, int, str]


def _variables(old: Report, new: Report) -> Iterator[VariableChange]:
    for key, before, after, kind in _paired(_values(old), _values(new)):
        one, other = _around(before or "", after or "")
        yield VariableChange(kind, *key, one, other)


def _values(report: Report) -> dict[_Key, str]:
    found: dict[_Key, str] = {}
    for process in report.processes:
        if process.python is None:
            continue
        for module in process.python.modules:
            for variable in module.variables:
                found[process.pid, 0, module.file, "", 0, variable.name] = variable.value.text
        for thread in process.python.threads:
            users = [frame for frame in reversed(thread.frames) if frame.is_users]
            for depth, frame in enumerate(users):
                for variable in frame.variables:
                    key = (process.pid, thread.id, frame.file, frame.function, depth, variable.name)
                    found[key] = variable.value.text
    return found


def _around(before: str, after: str) -> tuple[str, str]:
    """Both, shortened to where they differ."""
    if max(len(before), len(after)) <= _SHOWN:
        return before, after
    same = next(
        (at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other),
        min(len(before), len(after)),
    )
    start = max(0, same - _BEFORE) if before and after else 0

    def cut(text: str) -> str:
        shown = text[start : start + _SHOWN]
        return ("…" if start else "") + shown + ("…" if start + _SHOWN < len(text) else "")

    return cut(before), cut(after)


def _scratch_files(before: Inspection, after: Inspection) -> Iterator[ScratchFileChange]:
    olds, news = (_fingerprints(inspection) for inspection in (before, after))
    for path, _, _, kind in _paired(olds, news):
        old, new = before.scratch.files.get(path), after.scratch.files.get(path)
        yield ScratchFileChange(kind, path, old.size if old else -1, new.size if new else -1)


def _fingerprints(inspection: Inspection) -> dict[str, bytes]:
    return {path: inspection.scratch.fingerprint(path) for path in sorted(inspection.scratch.files)}


def _memory(before: Inspection, after: Inspection) -> Iterator[MemoryChange]:
    olds, news = _Digests(before), _Digests(after)
    for pid in dict.fromkeys((*before.memories, *after.memories)):
        old, new = before.memories.get(pid), after.memories.get(pid)
        sums: dict[tuple[AreaKind, str], Counter[ChangeKind]] = {}
        for area in new.areas if new else ():
            counts = sums.setdefault((area.kind, area.path), Counter())
            for stretch in new.dumped(area) if new else ():
                there = list(old.dumped_between(stretch.start, stretch.end)) if old else []
                counts[ChangeKind.ADDED] += _pages(stretch) - sum(map(_pages, there))
                for known in there:
                    begin = stretch.at + known.start - stretch.start
                    digests = news.of(stretch.file, begin, _pages(known))
                    differ = map(operator.ne, digests, olds.of(known.file, known.at, _pages(known)))
                    counts[ChangeKind.CHANGED] += sum(differ)
        for area in old.areas if old else ():
            counts = sums.setdefault((area.kind, area.path), Counter())
            for stretch in old.dumped(area) if old else ():
                there = list(new.dumped_between(stretch.start, stretch.end)) if new else []
                counts[ChangeKind.REMOVED] += _pages(stretch) - sum(map(_pages, there))
        for (kind, path), counts in sorted(sums.items()):
            if counts.total():
                changed, added, removed = (
                    counts[one] for one in (ChangeKind.CHANGED, ChangeKind.ADDED, ChangeKind.REMOVED)
                )
                yield MemoryChange(pid, kind, path, changed, added, removed)


def _pages(stretch: Stretch) -> int:
    return (stretch.end - stretch.start) // PAGE


class _Digests:
    """What the store calls the contents of pages: nothing of them is read."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self._by_file: dict[str, Sequence[bytes]] = {}

    def of(self, name: str, offset: int, pages: int) -> Sequence[bytes]:
        if name not in self._by_file:
            self._by_file[name] = self._inspection.image.page_digests(name)
        return self._by_file[name][offset // PAGE : offset // PAGE + pages]
