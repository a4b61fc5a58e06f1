"""CPython's values as text for people: bounded, secrets masked by their names, nothing of it ever evaluated."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from controller.inspection import python_frames as frames
from controller.inspection import python_layout as py
from controller.inspection import python_plain as plain
from controller.inspection.errors import Absent
from controller.inspection.python_heap import Heap, Type
from controller.redaction import MASK, is_secret, without_credentials

T = TypeVar("T")

_MORE: Final = "…"
_ABSENT: Final = "<not in the savepoint>"
_LONGEST: Final = 1 << 48
_SLOTS_OF_A_SET: Final = 1 << 16
_ITEMS_OF_A_BLOCK: Final = 64
_LONGEST_SECRET: Final = 500
# What `system` and `this` are made of says nothing of the flow.
_PLATFORM: Final = "flow_api."


@dataclass(frozen=True, slots=True)
class Limits:
    """items of one container, characters of one text, characters of one value altogether, containers in containers."""

    items: int = 20
    text: int = 200
    characters: int = 400
    depth: int = 3


# For comparing two savepoints: what differs late in a value shall be seen, too.
WIDE: Final = Limits(items=500, text=4_000, characters=10_000, depth=5)


@dataclass(frozen=True, slots=True)
class Value:
    """type: the type's name. complete: nothing was left out for want of room."""

    type: str
    text: str
    complete: bool


class _Full(Exception):
    """The value has more characters than wanted."""


def show(heap: Heap, name: str, address: int, limits: Limits) -> Value:
    """The value of a variable of that name. Raises Exhausted; what can't be read is said in the text."""
    try:
        kind = heap.type_of(address)
    except Absent:
        return Value("", _ABSENT, complete=True)
    if is_secret(name) and kind.name != "NoneType":
        return Value(kind.short_name, MASK, complete=True)
    writer = _Writer(heap, limits)
    try:
        writer.value(address, 0)
    except _Full:
        return Value(kind.short_name, writer.text()[: limits.characters] + _MORE, complete=False)
    return Value(kind.short_name, writer.text(), complete=writer.complete)


class _Writer:
    """Methods write the object at an address; depth counts the containers around it. Raise _Full and Exhausted."""

    def __init__(self, heap: Heap, limits: Limits) -> None:
        self._heap = heap
        self._limits = limits
        self._parts: list[str] = []
        self._length = 0
        self._above: list[int] = []
        self.complete = True

    def text(self) -> str:
        return "".join(self._parts)

    def value(self, address: int, depth: int) -> None:
        if address in self._above:
            self._write(_MORE)
            return
        self._above.append(address)
        try:
            kind = self._heap.type_of(address)
            if (simple := _plain(kind)) is not None:
                self._write(simple(self._heap, address, kind))
            else:
                _writer(kind)(self, address, kind, depth)
        except (Absent, ValueError, OverflowError, struct.error):
            self._write(_ABSENT)
        finally:
            self._above.pop()

    def _write(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
        if self._length > self._limits.characters:
            raise _Full

    def _cut(self, text: str) -> None:
        self.complete = False
        self._write(text)

    def _many(self, items: Iterable[T], write: Callable[[T], None], *, more: bool = False) -> None:
        for number, item in enumerate(items):
            if number:
                self._write(", ")
            write(item)
        if more:
            self._cut(", " + _MORE)

    # --- texts and bytes

    def string(self, address: int, kind: Type, _depth: int) -> None:
        # A little more is read: of a URL that is cut before its @ nobody can tell what is secret.
        text, length = self._heap.text(address, self._limits.text + _LONGEST_SECRET)
        shown = without_credentials(text)
        kept = shown[: self._limits.text]
        seen = length if len(kept) == len(shown) else 0
        self._quoted(repr(kept), length, seen, "characters", kind, "str")

    def octets(self, address: int, kind: Type, _depth: int) -> None:
        data, length = self._heap.data(address, self._limits.text)
        self._quoted(repr(data), length, len(data), "bytes", kind, "bytes")

    def byte_array(self, address: int, kind: Type, _depth: int) -> None:
        length = self._heap.size(address + py.VAR_SIZE, _LONGEST)
        start = self._heap.pointer(address + 40)
        data = self._heap.memory.read(start, min(length, self._limits.text)) if length else b""
        self._quoted(repr(data), length, len(data), "bytes", kind, "")

    def _quoted(self, shown: str, length: int, seen: int, unit: str, kind: Type, plainly: str) -> None:
        if length > seen:
            self.complete = False
            shown += f"{_MORE} ({length} {unit})"
        self._write(shown if kind.may_be(plainly) else f"{kind.short_name}({shown})")

    # --- containers

    def a_list(self, address: int, kind: Type, depth: int) -> None:
        items, length = self._heap.list_items(address, self._limits.items)
        self._sequence(items, length, ("[", "]"), "" if kind.may_be("list") else kind.short_name, depth)

    def a_tuple(self, address: int, kind: Type, depth: int) -> None:
        items, length = self._heap.tuple_items(address, self._limits.items)
        brackets = ("(", ",)" if length == 1 else ")")
        self._sequence(items, length, brackets, "" if kind.may_be("tuple") else kind.short_name, depth)

    def deque(self, address: int, kind: Type, depth: int) -> None:
        length = self._heap.size(address + py.VAR_SIZE, _LONGEST)
        block, _, index = self._heap.pointers(address + 24, 3)
        items: list[int] = []
        while len(items) < min(length, self._limits.items):
            if index >= _ITEMS_OF_A_BLOCK:
                block, index = self._heap.pointer(block + 8 + 8 * _ITEMS_OF_A_BLOCK), 0
            items.append(self._heap.pointer(block + 8 + 8 * index))
            index += 1
        self._sequence(items, length, ("[", "]"), kind.short_name, depth)

    def _sequence(self, items: Sequence[int], length: int, brackets: tuple[str, str], name: str, depth: int) -> None:
        """name: of a type other than Python's own, whose text begins with it."""
        opening, closing = (f"{name}({brackets[0]}", f"{brackets[1]})") if name else brackets
        if length and depth >= self._limits.depth:
            self._cut(f"{opening}{_MORE}{closing}")
            return
        self._write(opening)
        self._many(items, lambda item: self.value(item, depth + 1), more=length > len(items))
        self._write(closing)

    def dictionary(self, address: int, kind: Type, depth: int) -> None:
        opening, closing = ("{", "}") if kind.may_be("dict") else (f"{kind.short_name}({{", "})")
        length = self._heap.dict_size(address)
        if length and depth >= self._limits.depth:
            self._cut(f"{opening}{_MORE}{closing}")
            return
        items = list(self._heap.dict_items(address, self._limits.items))
        self._write(opening)
        self._many(items, lambda item: self._item(*item, depth), more=length > len(items))
        self._write(closing)

    def _item(self, key: int, value: int, depth: int) -> None:
        self.value(key, depth + 1)
        self._write(": ")
        self._named(self._heap.name(key) if self._heap.type_of(key).flags & py.STR else "", value, depth)

    def _named(self, name: str, value: int, depth: int) -> None:
        if name and is_secret(name) and self._heap.type_of(value).name != "NoneType":
            self._write(MASK)
        else:
            self.value(value, depth + 1)

    def a_set(self, address: int, kind: Type, depth: int) -> None:
        """Sorted by their texts: the order in the table depends on addresses."""
        used, mask, table = self._heap.pointers(address + 24, 3)
        opening, closing = ("{", "}") if kind.name == "set" else (f"{kind.short_name}({{", "})")
        if not used:
            self._write(f"{kind.short_name}()")
            return
        if depth >= self._limits.depth or mask >= _SLOTS_OF_A_SET:
            self._cut(f"{opening}{_MORE}{closing}")
            return
        texts: list[str] = []
        for slot in range(mask + 1):
            key, hashed = self._heap.pointers(table + 16 * slot, 2)
            if key and hashed != (1 << 64) - 1 and len(texts) < self._limits.items:
                texts.append(self._apart(key, depth + 1))
        self._write(opening)
        self._many(sorted(texts), self._write, more=used > len(texts))
        self._write(closing)

    def _apart(self, address: int, depth: int) -> str:
        """A value's text, not written yet."""
        before, self._parts = self._parts, []
        length = self._length
        try:
            self.value(address, depth)
            return self.text()
        finally:
            self._parts, self._length = before, length

    # --- objects

    def a_range(self, address: int, _kind: Type, depth: int) -> None:
        self._write("range(")
        self._many(self._heap.pointers(address + py.FIRST_FIELD, 3), lambda part: self.value(part, depth))
        self._write(")")

    def generator(self, address: int, kind: Type, depth: int) -> None:
        state = struct.unpack("b", self._heap.memory.read(address + py.GENERATOR_STATE, 1))[0]
        found = frames.frame(self._heap, address + py.GENERATOR_FRAME) if state <= 0 else None
        if found is None:
            self._write(f"<{kind.name}, ended>")
            return
        self._write(f"<{kind.name} {found.function} at {found.file.rpartition('/')[2]}:{found.line}")
        if found.variables and depth < self._limits.depth:
            self._write(" ")
            self._attributes(found.variables, depth)
        self._write(">")

    def exception(self, address: int, kind: Type, depth: int) -> None:
        arguments = self._heap.pointer(address + py.EXCEPTION_ARGUMENTS)
        items, length = self._heap.tuple_items(arguments, self._limits.items)
        self._write(kind.short_name)
        self._sequence(items, length, ("(", ")"), "", depth)

    def instance(self, address: int, kind: Type, depth: int) -> None:
        """An object of a class: what its slots and its __dict__ hold."""
        attributes: Sequence[tuple[str, int]] = ()
        if kind.flags & py.HEAP_TYPE and not self._heap.module(kind).startswith(_PLATFORM):
            attributes = list(self._heap.attributes(address, kind, self._limits.items + 1))
        if not attributes:
            self._write(f"<{kind.name} at {address:#x}>")
            return
        self._write(kind.short_name)
        if depth >= self._limits.depth:
            self._cut(f"({_MORE})")
        else:
            # An object's own objects are looked at, theirs are not: everything hangs together with everything.
            self._attributes(attributes, max(depth, self._limits.depth - 2))

    def _attributes(self, attributes: Sequence[tuple[str, int]], depth: int) -> None:
        def write(attribute: tuple[str, int]) -> None:
            name, value = attribute
            self._write(name + "=")
            self._named(name, value, depth)

        self._write("(")
        kept = attributes[: self._limits.items]
        self._many(kept, write, more=len(attributes) > len(kept))
        self._write(")")


_Write = Callable[[_Writer, int, Type, int], None]

_BY_NAME: Final[dict[str, _Write]] = {
    "bytearray": _Writer.byte_array,
    "set": _Writer.a_set,
    "frozenset": _Writer.a_set,
    "range": _Writer.a_range,
    "generator": _Writer.generator,
    "coroutine": _Writer.generator,
    "async_generator": _Writer.generator,
    "collections.deque": _Writer.deque,
}
_BY_FLAG: Final[tuple[tuple[int, _Write], ...]] = (
    (py.STR, _Writer.string),
    (py.DICT, _Writer.dictionary),
    (py.LIST, _Writer.a_list),
    (py.TUPLE, _Writer.a_tuple),
    (py.BYTES, _Writer.octets),
    (py.EXCEPTION, _Writer.exception),
)
# Types of C modules that are made like classes; a class of a flow's may have any name, but no dot in it.
_MADE_AT_RUN_TIME: Final = frozenset({"collections.deque", "decimal.Decimal"})


def _by_name(kind: Type, table: dict[str, T]) -> T | None:
    known = not kind.flags & py.HEAP_TYPE or kind.name in _MADE_AT_RUN_TIME
    return table.get(kind.name) if known else None


def _plain(kind: Type) -> plain.Plain | None:
    return _by_name(kind, plain.BY_NAME) or next((text for flag, text in plain.BY_FLAG if kind.flags & flag), None)


def _writer(kind: Type) -> _Write:
    """By name, else by what a class is derived from."""
    by_flag = (write for flag, write in _BY_FLAG if kind.flags & flag)
    return _by_name(kind, _BY_NAME) or next(by_flag, _Writer.instance)
