"""What a savepoint image holds, put together: processes with memory, files and Python's stacks; scratch files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from flowsnap.criu import images_pb2 as criu

from controller.inspection import python_state
from controller.inspection.budget import Budget
from controller.inspection.errors import Absent, Exhausted, Unreadable
from controller.inspection.image import Image
from controller.inspection.memory import AreaKind, Memory
from controller.inspection.open_files import FileTable, OpenFile
from controller.inspection.python_state import PythonState
from controller.inspection.python_values import Limits
from controller.inspection.scratch import Scratch, ScratchFile
from controller.ports import ImageView
from controller.redaction import MASK, is_secret, without_credentials

T = TypeVar("T")

_PROCESSES: Final = 1000
# Memory of so many processes is looked at.
_LOOKED_INTO: Final = 64
_ARGUMENT_BYTES: Final = 4096
_STATES: Final = {1: "running", 2: "zombie", 3: "stopped", 6: "zombie"}


@dataclass(frozen=True, slots=True)
class MemoryArea:
    """All areas of a kind, or of one mapped file. dumped_bytes: in the image; the rest is in files, or zero."""

    kind: AreaKind
    path: str
    size_bytes: int
    dumped_bytes: int


@dataclass(frozen=True, slots=True)
class Process:
    """command: its name for the kernel. python: None where none runs in it, or it was not looked into."""

    pid: int
    parent_pid: int
    command: str
    arguments: tuple[str, ...]
    state: str
    thread_ids: tuple[int, ...]
    memory: tuple[MemoryArea, ...]
    files: tuple[OpenFile, ...]
    python: PythonState | None


@dataclass(frozen=True, slots=True)
class Report:
    """problems: what could not be read, in words."""

    criu: str
    kernel: str
    machine: str
    processes: tuple[Process, ...]
    scratch_files: tuple[ScratchFile, ...]
    problems: tuple[str, ...]

    @property
    def all_problems(self) -> tuple[str, ...]:
        """With those of the processes."""
        told = (
            f"process {one.pid}: {one.python.problem}" for one in self.processes if one.python and one.python.problem
        )
        return (*self.problems, *told)


# The bytes of a file of the container image, given its size at the dump: path, size, offset, length.
ImageFileReader = Callable[[str, int, int, int], bytes | None]


class Inspection:
    """One image, opened: the report, and what a comparison needs besides."""

    def __init__(self, files: ImageView, read_file: ImageFileReader, limits: Limits, budget: Budget) -> None:
        """Raises Unreadable when it is no savepoint image at all."""
        self.image = Image(files)
        self._read_file = read_file
        self._limits = limits
        self._budget = budget
        self._problems: list[str] = []
        self._places: python_state.Places = {}
        record = self.image.json("savepoint.json")
        if not isinstance(record, dict):
            raise Unreadable("savepoint.json: it is not what an agent writes")
        self._record = record
        self.scratch = Scratch(self.image)
        self._table = FileTable(self.image, _roles(record))
        self._sizes = self._table.sizes
        self.memories: dict[int, Memory] = {}

    def report(self) -> Report:
        """Raises Unreadable."""
        tree = self.image.entries("criu/pstree.img", criu.Process)
        if not tree:
            raise Unreadable("criu/pstree.img: it names no process")
        processes = tuple(self._process(entry) for entry in tree[:_PROCESSES])
        return Report(
            criu=str(self._record.get("criu", "")),
            kernel=str(self._record.get("kernel", "")),
            machine=str(self._record.get("machine", "")),
            processes=processes,
            scratch_files=tuple(sorted(self.scratch.files.values(), key=lambda file: file.path)),
            problems=tuple(self._problems),
        )

    def _process(self, entry: criu.Process) -> Process:
        core = self._or_problem(lambda: self.image.entry(f"criu/core-{entry.pid}.img", criu.Core)) or criu.Core()
        memory = self._or_problem(lambda: self._memory(entry.pid))
        files: Sequence[OpenFile] | None = None
        if memory is not None:
            files = self._or_problem(lambda: self._table.of_process(entry.pid, core))
        return Process(
            pid=entry.pid,
            parent_pid=entry.parent_pid,
            command=core.task.command.decode(errors="replace"),
            arguments=_arguments(memory) if memory else (),
            state=_STATES.get(core.task.state, ""),
            thread_ids=tuple(entry.thread_ids),
            memory=_areas(memory) if memory else (),
            files=tuple(files or ()),
            python=python_state.read(memory, self._limits, self._places) if memory else None,
        )

    def _or_problem(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Unreadable as error:
            self._problems.append(str(error))
            return None

    def _memory(self, pid: int) -> Memory | None:
        """None: a process that has ended, or one too many."""
        if f"criu/mm-{pid}.img" not in self.image:
            return None
        if len(self.memories) >= _LOOKED_INTO:
            if len(self.memories) == _LOOKED_INTO:
                self._problems.append(f"the memory of more than {_LOOKED_INTO} processes is not looked into")
            return None
        self.memories[pid] = found = Memory(self.image, pid, self._table.mapped, self._file, self._budget)
        return found

    def _file(self, path: str, offset: int, length: int) -> bytes | None:
        """A mapped file's bytes: the flow's own from the image, others from the container image."""
        if path in self.scratch.files:
            return self.scratch.read(path, offset, length)
        return self._read_file(path, self._sizes.get(path, 0), offset, length)


def _areas(memory: Memory) -> tuple[MemoryArea, ...]:
    """The largest in the image first."""
    sums: dict[tuple[AreaKind, str], tuple[int, int]] = {}
    for area in memory.areas:
        size, dumped = sums.get((area.kind, area.path), (0, 0))
        in_image = sum(stretch.end - stretch.start for stretch in memory.dumped(area))
        sums[area.kind, area.path] = size + area.end - area.start, dumped + in_image
    found = [MemoryArea(kind, path, size, dumped) for (kind, path), (size, dumped) in sums.items()]
    return tuple(sorted(found, key=lambda area: (-area.dumped_bytes, -area.size_bytes, area.path)))


def _arguments(memory: Memory) -> tuple[str, ...]:
    start, end = memory.arguments
    try:
        data = memory.read(start, max(0, min(end - start, _ARGUMENT_BYTES)))
    except (Absent, Exhausted):
        return ()
    words = [word.decode(errors="replace") for word in data.rstrip(b"\0").split(b"\0")]
    return tuple(_masked(words)) if data.strip(b"\0") else ()


def _masked(words: Sequence[str]) -> list[str]:
    """Without what stands behind an option like --password."""
    shown = []
    follows = False
    for word in words:
        name, equals, _ = word.partition("=")
        if follows and not word.startswith("-"):
            shown.append(MASK)
        elif equals and "\n" not in name and len(name.split()) == 1 and is_secret(name):
            shown.append(f"{name}={MASK}")
        else:
            shown.append(without_credentials(word))
        follows = word.startswith("-") and not equals and len(word.split()) == 1 and is_secret(word)
    return shown


def _roles(record: dict[str, Any]) -> dict[str, str]:
    """What the pipes to the agent are for, by CRIU's key."""
    pipes = record.get("pipes")
    return {str(key): f"flowsnap {role}" for role, key in pipes.items()} if isinstance(pipes, dict) else {}
