"""The Python in one process: its threads with their stacks, and the variables of the user's code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from controller.inspection import python_frames as frames
from controller.inspection import python_layout as py
from controller.inspection.errors import Absent, Exhausted
from controller.inspection.memory import AreaKind, Memory
from controller.inspection.python_heap import Heap
from controller.inspection.python_layout import Layout, UnknownPython
from controller.inspection.python_values import Limits, Value, show

_PROGRAM: Final = re.compile(r"/(?:lib)?python(3\.\d+)(?:\.so[.0-9]*)?$")
_THREADS: Final = 200
_FRAMES: Final = 200
_INTERPRETERS: Final = 16
# Python's own data; whatever is larger is no program's.
_LARGEST_DATA: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Variable:
    """name and its value."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class StackFrame:
    """variables: of the user's code alone."""

    file: str
    function: str
    line: int
    is_users: bool
    variables: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class PythonThread:
    """The newest frame first. id: the kernel's, as the process knows it; name: Python's."""

    id: int
    name: str
    frames: tuple[StackFrame, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """A module of the user's, with its variables."""

    file: str
    variables: tuple[Variable, ...]


@dataclass(slots=True)
class PythonState:
    """problem: why nothing, or not all, could be read; empty when all was."""

    version: str = ""
    threads: list[PythonThread] = field(default_factory=list)
    modules: list[Scope] = field(default_factory=list)
    problem: str = ""


# Where interpreters were found in mapped files: path and the mapping's place in it, bytes from there on.
Places = dict[tuple[str, int], int]


def read(memory: Memory, limits: Limits, places: Places) -> PythonState | None:
    """None: no Python runs in that process. What was read before the budget was used up is answered.

    places: of the other processes of the tree, most of which run the same program; completed.
    """
    state = PythonState()
    try:
        found = _runtime(memory, places)
        if found is None:
            return _without_runtime(memory)
        runtime, layout = found
        state.version = layout.version
        _Reader(memory, layout, limits, state).read(runtime)
    except UnknownPython as error:
        state.problem = f"variables can't be read: {error}"
    except Absent as error:
        state.problem = f"variables can't be read: {error}"
    except Exhausted as error:
        state.problem = f"reading was stopped: {error}"
    return state


def _runtime(memory: Memory, places: Places) -> tuple[int, Layout] | None:
    """Where an interpreter's runtime state lies: its first bytes say so, and its first page is written at the start."""
    for area in memory.areas:
        place = places.get((area.path, area.file_offset))
        if place is not None and (layout := _layout(memory, area.start + place)) is not None:
            return area.start + place, layout
    for area in memory.areas:
        is_data = area.kind is AreaKind.FILE and area.writable and area.private
        if not is_data or area.end - area.start > _LARGEST_DATA:
            continue
        for address in memory.find(area, py.COOKIE):
            layout = _layout(memory, address)
            if layout is not None:
                places[area.path, area.file_offset] = address - area.start
                return address, layout
    return None


def _without_runtime(memory: Memory) -> PythonState | None:
    """Python before 3.13 doesn't say where its state lies; it is known by the names of its files alone."""
    for path in dict.fromkeys((memory.executable, *(area.path for area in memory.areas))):
        named = _PROGRAM.search(path)
        if named is not None:
            return PythonState(named[1], problem=f"variables can't be read: Python {named[1]} is not known")
    return None


def _layout(memory: Memory, address: int) -> Layout | None:
    """Raises UnknownPython, Exhausted."""
    try:
        return py.parse(memory.read(address, py.SIZE))
    except Absent:
        return None


class _Reader:
    def __init__(self, memory: Memory, layout: Layout, limits: Limits, state: PythonState) -> None:
        self._heap = Heap(memory, layout)
        self._limits = limits
        self._state = state
        self._show = memory.budget.show
        self._globals: dict[int, str] = {}

    def read(self, runtime: int) -> None:
        heap, at = self._heap, self._heap.at
        for interpreter in self._chain(heap.pointer(runtime + at["runtime.interpreters_head"]), "interpreter.next"):
            names = self._thread_names(interpreter)
            for thread in self._chain(heap.pointer(interpreter + at["interpreter.threads_head"]), "thread.next"):
                self._thread(thread, names)
        # The oldest thread is the last one of the list.
        self._state.threads.reverse()
        for address, file in self._globals.items():
            try:
                variables = self._variables(frames.scope(heap, address))
            except Absent:
                continue
            if variables:
                self._state.modules.append(Scope(file, variables))

    def _chain(self, address: int, following: str) -> Iterator[int]:
        seen: set[int] = set()
        while address and address not in seen and len(seen) < _THREADS:
            seen.add(address)
            yield address
            address = self._heap.pointer(address + self._heap.at[following])

    def _thread(self, address: int, names: dict[int, str]) -> None:
        heap, at = self._heap, self._heap.at
        thread_id = heap.pointer(address + at["thread.native_thread_id"])
        found: list[StackFrame] = []
        name = names.get(heap.pointer(address + at["thread.thread_id"]), "")
        try:
            for frame in frames.stack(heap, heap.pointer(address + at["thread.current_frame"]), _FRAMES):
                file, function = self._show(frame.file), self._show(frame.function)
                variables = self._variables(frame.variables)
                found.append(StackFrame(file, function, frame.line, frame.is_users, variables))
                if frame.is_users and frame.globals_at:
                    self._globals.setdefault(frame.globals_at, frame.file)
        except Absent as error:
            self._state.problem = f"a stack is not complete: {error}"
        finally:
            self._state.threads.append(PythonThread(thread_id & 0xFFFFFFFF, name, tuple(found)))

    def _variables(self, variables: Iterable[tuple[str, int]]) -> tuple[Variable, ...]:
        found = []
        for name, address in variables:
            value = show(self._heap, name, address, self._limits)
            self._show(value.text)
            found.append(Variable(self._show(name), value))
        return tuple(found)

    def _thread_names(self, interpreter: int) -> dict[int, str]:
        """Names by Python's identifiers, from threading._active; empty where that is not loaded."""
        heap = self._heap
        try:
            modules = heap.pointer(interpreter + heap.at["interpreter.imports_modules"])
            threading = _lookup(heap, modules, "threading")
            active = _lookup(heap, heap.pointer(threading + py.MODULE_DICT), "_active") if threading else 0
            names = {}
            for key, value in heap.dict_items(active, _THREADS) if active else ():
                data = heap.memory.read(key + heap.at["int.ob_digit"], 12)
                digits = min(heap.pointer(key + heap.at["int.lv_tag"]) >> 3, 3)
                number = sum(int.from_bytes(data[4 * i : 4 * i + 4], "little") << 30 * i for i in range(digits))
                attributes = heap.attributes(value, heap.type_of(value), 20)
                names[number] = next((heap.name(text) for name, text in attributes if name == "_name"), "")
        except Absent:
            return {}
        return names


def _lookup(heap: Heap, dictionary: int, wanted: str) -> int:
    """The value of that key; 0: there is none."""
    for key, value in heap.dict_items(dictionary, 5000):
        if heap.name(key) == wanted:
            return value
    return 0
