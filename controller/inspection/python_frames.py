"""CPython's frames: which code, at which line, with which variables. Reads raise Absent and Exhausted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controller.inspection import python_layout as py
from controller.inspection.errors import Absent
from controller.inspection.python_heap import Heap

_LONGEST_TABLE: Final = 1 << 20
_ENTRIES_PER_STEP: Final = 16
_LONGEST_PATH: Final = 1000
_MOST_VARIABLES: Final = 200
# Kinds of entries in a line table.
_SHORT_END, _ONE_LINE_END, _NO_COLUMN, _LONG, _NO_LINE = 10, 13, 13, 14, 15


@dataclass(frozen=True, slots=True)
class Frame:
    """line: 0 where there is none. variables: name and address, in the order of the code.

    globals_at: the module's dictionary; 0 where variables has its contents.
    """

    file: str
    function: str
    line: int
    globals_at: int
    variables: tuple[tuple[str, int], ...]

    @property
    def is_users(self) -> bool:
        """Whether its code is neither Python's own, an installed package's, nor this platform's."""
        return is_users_file(self.file)


def is_users_file(path: str) -> bool:
    return not (
        path.startswith(("<frozen ", "/usr/lib/", "/usr/local/lib/"))
        or "/site-packages/" in path
        or "/dist-packages/" in path
        or "/lib/python3" in path
    )


def stack(heap: Heap, address: int, limit: int) -> Iterator[Frame]:
    """The frames from that one on, the newest first, at most limit."""
    seen = set()
    for _ in itertools.repeat(None, 4 * limit):
        if not address or address in seen or limit <= 0:
            return
        seen.add(address)
        owner = heap.memory.read(address + heap.at["frame.owner"], 1)[0]
        if owner != py.FRAME_OF_C:
            found = frame(heap, address)
            if found is not None:
                limit -= 1
                yield found
        address = heap.pointer(address + heap.at["frame.previous"])


def frame(heap: Heap, address: int) -> Frame | None:
    """None: it runs no Python code."""
    at = heap.at
    code = heap.pointer(address + at["frame.executable"])
    if not code or not heap.type_of(code).may_be("code"):
        return None
    file = heap.text(heap.pointer(code + at["code.filename"]), _LONGEST_PATH)[0]
    variables: tuple[tuple[str, int], ...] = ()
    globals_at = heap.pointer(address + py.FRAME_GLOBALS)
    if is_users_file(file):
        variables = tuple(_variables(heap, address, code))
        # A module's own frame has the module's variables.
        if heap.pointer(address + py.FRAME_LOCALS) == globals_at:
            globals_at = 0
    return Frame(
        file=file,
        function=heap.name(heap.pointer(code + at["code.qualname"])),
        line=_line(heap, address, code),
        globals_at=globals_at,
        variables=variables,
    )


def _variables(heap: Heap, address: int, code: int) -> Iterator[tuple[str, int]]:
    at = heap.at
    names, _ = heap.tuple_items(heap.pointer(code + at["code.localsplusnames"]), _MOST_VARIABLES)
    kinds, _ = heap.data(heap.pointer(code + at["code.localspluskinds"]), _MOST_VARIABLES)
    values = heap.pointers(address + at["frame.localsplus"], len(names))
    for name, kind, value in zip(names, kinds, values, strict=False):
        if value and kind & (py.KIND_CELL | py.KIND_FREE) and heap.type_of(value).may_be("cell"):
            value = heap.pointer(value + py.CELL_VALUE)  # noqa: PLW2901
        if value:
            yield heap.name(name), value
    if not heap.small(code + py.CODE_FLAGS) & py.OPTIMIZED_CODE:
        yield from scope(heap, heap.pointer(address + py.FRAME_LOCALS))


def scope(heap: Heap, address: int) -> Iterator[tuple[str, int]]:
    """The variables of a module or class: a dictionary without what only names code."""
    if not address:
        return
    for key, value in heap.dict_items(address, _MOST_VARIABLES):
        name = heap.name(key)
        kind = heap.type_of(value)
        if name.startswith("__") or kind.flags & py.TYPE or kind.name in _CODE:
            continue
        yield name, value


_CODE: Final = frozenset({"module", "function", "builtin_function_or_method", "type", "_Feature"})


def _line(heap: Heap, address: int, code: int) -> int:
    at = heap.at
    unit = (heap.pointer(address + at["frame.instr_ptr"]) - code - at["code.co_code_adaptive"]) // 2
    table, _ = heap.data(heap.pointer(code + at["code.linetable"]), _LONGEST_TABLE)
    heap.memory.budget.step(len(table) // _ENTRIES_PER_STEP)
    return line_at(table, heap.small(code + at["code.firstlineno"]), unit)


def line_at(table: bytes, first: int, unit: int) -> int:
    """The line of a code unit by CPython's location table (Objects/locations.md); 0: none.

    Raises Absent for a table that is cut off.
    """
    line, position = first, 0
    passed = 0
    try:
        while position < len(table):
            head = table[position]
            kind, length = head >> 3 & 15, (head & 7) + 1
            position += 1
            if kind < _SHORT_END:
                position += 1
            elif kind < _ONE_LINE_END:
                line += kind - _SHORT_END
                position += 2
            elif kind in (_NO_COLUMN, _LONG):
                delta, position = _varint(table, position)
                line += -(delta >> 1) if delta & 1 else delta >> 1
                for _ in range(3 if kind == _LONG else 0):
                    _, position = _varint(table, position)
            passed += length
            if unit < passed:
                return 0 if kind == _NO_LINE else max(line, 0)
    except IndexError as error:
        raise Absent("the line table is cut off") from error
    return 0


def _varint(table: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = table[position]
        position += 1
        value |= (byte & 63) << shift
        shift += 6
        if not byte & 64 or shift > 60:  # noqa: PLR2004 - no line has more bits
            return value, position
