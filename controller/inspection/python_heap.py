"""CPython's objects in a process's memory: their types, and the parts of texts, numbers, tuples, dictionaries.

Reads raise errors.Absent for what is not there or can't be what it is taken for, errors.Exhausted past the budget.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from controller.inspection import python_layout as py
from controller.inspection.errors import Absent
from controller.inspection.memory import PAGE, Memory
from controller.inspection.python_layout import Layout

_U64: Final = struct.Struct("<Q")
_I64: Final = struct.Struct("<q")
_U32: Final = struct.Struct("<I")
_KEYS: Final = struct.Struct("<qBBBBIqq")
_LONGEST_NAME: Final = 200
_MOST_SLOTS: Final = 64
_MOST_BASES: Final = 16
_MEMBER_BYTES: Final = 40
_OBJECT_MEMBERS: Final = (6, 16)
# The first entries of a class's namespace: its body begins with setting __module__.
_MODULE_WITHIN: Final = 5
_GENERAL, _UNICODE, _SPLIT = range(3)
_UNKNOWN: Final = "type at "
# Of a dictionary's table this many entries are looked at for each that is wanted: deleted ones stay in it.
_SCANNED: Final = 4


@dataclass(frozen=True, slots=True)
class Type:
    """Name as the type has it ("datetime.datetime", "Order"), flags, bytes of an instance."""

    address: int
    name: str
    flags: int
    basic_size: int
    dict_offset: int

    @property
    def short_name(self) -> str:
        """Without its module."""
        return self.name.rpartition(".")[2]

    def may_be(self, name: str) -> bool:
        """Whether it is the built-in type of that name, as far as can be told."""
        return self.name == name or self.name.startswith(_UNKNOWN)


class Heap:
    """One interpreter process's objects."""

    def __init__(self, memory: Memory, layout: Layout) -> None:
        self.memory = memory
        self.at = layout.at
        self._types: dict[int, Type] = {}

    # --- numbers and pointers

    def pointer(self, address: int) -> int:
        return int(_U64.unpack(self.memory.read(address, 8))[0])

    def signed(self, address: int) -> int:
        return int(_I64.unpack(self.memory.read(address, 8))[0])

    def small(self, address: int) -> int:
        """32 bits, unsigned."""
        return int(_U32.unpack(self.memory.read(address, 4))[0])

    def pointers(self, address: int, count: int) -> Sequence[int]:
        return struct.unpack(f"<{count}Q", self.memory.read(address, 8 * count))

    def size(self, address: int, limit: int) -> int:
        """A length; Absent when it can't be one. limit is not applied, but what is beyond reason is refused."""
        found = self.signed(address)
        if not 0 <= found <= limit:
            raise Absent(f"the length {found} at {address:#x} can't be")
        return found

    def c_text(self, address: int) -> str:
        """Text that ends with a zero byte."""
        data = self.memory.read(address, min(_LONGEST_NAME, PAGE - address % PAGE))
        if b"\0" not in data and len(data) < _LONGEST_NAME:
            data += self.memory.read(address + len(data), _LONGEST_NAME - len(data))
        return data.partition(b"\0")[0].decode(errors="replace")

    # --- types

    def type_of(self, address: int) -> Type:
        return self.type(self.pointer(address + self.at["object.ob_type"]))

    def type(self, address: int) -> Type:
        """The type object at that address."""
        known = self._types.get(address)
        if known is None:
            known = self._types[address] = Type(
                address=address,
                name=self._type_name(address),
                flags=self.pointer(address + self.at["type.tp_flags"]),
                basic_size=self.size(address + py.TYPE_BASICSIZE, 1 << 20),
                dict_offset=self.signed(address + py.TYPE_DICTOFFSET),
            )
        return known

    def _type_name(self, address: int) -> str:
        try:
            return self.c_text(self.pointer(address + self.at["type.tp_name"])) or "?"
        except Absent:
            # A built-in type's name is in the program's file, which may be out of reach.
            return f"{_UNKNOWN}{address:#x}"

    def module(self, kind: Type) -> str:
        """The module that a class was made in; empty where it doesn't say."""
        for key, value in self.dict_items(self.pointer(kind.address + py.TYPE_DICT), _MODULE_WITHIN):
            if self.name(key) == "__module__":
                return self.name(value)
        return ""

    # --- texts, bytes, tuples

    def text(self, address: int, limit: int) -> tuple[str, int]:
        """A str's first characters, at most limit, and its length in characters."""
        state = self.small(address + self.at["str.state"])
        length = self.size(address + self.at["str.length"], 1 << 48)
        width, compact, ascii_only = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
        if width not in (1, 2, 4):
            raise Absent(f"there is no text at {address:#x}")
        if compact:
            start = address + (self.at["str.asciiobject_size"] if ascii_only else py.WIDE_TEXT)
        else:
            start = self.pointer(address + py.WIDE_TEXT)
        data = self.memory.read(start, min(length, limit) * width)
        encoding = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[width]
        return data.decode(encoding, errors="replace"), length

    def name(self, address: int) -> str:
        """A str that names something."""
        return self.text(address, _LONGEST_NAME)[0]

    def data(self, address: int, limit: int) -> tuple[bytes, int]:
        """A bytes object's first bytes, and its length."""
        length = self.size(address + self.at["bytes.ob_size"], 1 << 48)
        return self.memory.read(address + self.at["bytes.ob_sval"], min(length, limit)), length

    def tuple_items(self, address: int, limit: int) -> tuple[Sequence[int], int]:
        """Addresses of the first items, and how many there are."""
        length = self.size(address + self.at["tuple.ob_size"], 1 << 48)
        return self.pointers(address + self.at["tuple.ob_item"], min(length, limit)), length

    def list_items(self, address: int, limit: int) -> tuple[Sequence[int], int]:
        length = self.size(address + self.at["list.ob_size"], 1 << 48)
        first = self.pointer(address + self.at["list.ob_item"]) if length else 0
        return self.pointers(first, min(length, limit)), length

    # --- dictionaries and attributes

    def dict_size(self, address: int) -> int:
        return self.size(address + py.FIRST_FIELD, 1 << 48)

    def dict_items(self, address: int, limit: int) -> Iterator[tuple[int, int]]:
        """Addresses of keys and values, in order; at most limit."""
        values = self.pointer(address + self.at["dict.ma_values"])
        keys = self.pointer(address + self.at["dict.ma_keys"])
        return self._table(keys, values + py.SPLIT_VALUES if values else 0, limit)

    def _table(self, keys: int, split: int, limit: int) -> Iterator[tuple[int, int]]:
        _, _, index_bits, kind, _, _, _, entries = _KEYS.unpack(self.memory.read(keys, _KEYS.size))
        if index_bits > 40 or kind > _SPLIT or entries < 0 or bool(split) != (kind == _SPLIT):  # noqa: PLR2004
            raise Absent(f"there is no dictionary's table at {keys:#x}")
        entry = keys + _KEYS.size + (1 << index_bits)
        width = 3 if kind == _GENERAL else 2
        for number in range(min(entries, _SCANNED * limit + 8)):
            if limit <= 0:
                return
            key, value = self.pointers(entry + 8 * width * number, width)[-2:]
            if split:
                value = self.pointer(split + 8 * number)
            if key and value:
                limit -= 1
                yield key, value

    def attributes(self, address: int, kind: Type, limit: int) -> Iterator[tuple[str, int]]:
        """What an instance of a class has: names and addresses of values, from its slots and its __dict__."""
        for name, offset in self._slots(kind):
            value = self.pointer(address + offset)
            if value:
                yield name, value
        for key, value in self._instance_dict(address, kind, limit):
            yield self.name(key), value

    def _instance_dict(self, address: int, kind: Type, limit: int) -> Iterator[tuple[int, int]]:
        if kind.flags & py.INLINE_VALUES:
            values = address + kind.basic_size
            if self.memory.read(values + 3, 1) == b"\1":  # the values are here, not in a dictionary of their own
                keys = self.pointer(kind.address + py.TYPE_CACHED_KEYS)
                return self._table(keys, values + py.SPLIT_VALUES, limit)
        if kind.flags & py.HAS_MANAGED_DICT:
            found = self.pointer(address + py.MANAGED_DICT)
        elif 0 < kind.dict_offset < 1 << 20:
            found = self.pointer(address + kind.dict_offset)
        else:
            found = 0
        return self.dict_items(found, limit) if found else iter(())

    def _slots(self, kind: Type) -> Iterator[tuple[str, int]]:
        """__slots__ of the class and of those it is made from: they stand behind the type object."""
        classes: list[Type] = []
        while kind.flags & py.HEAP_TYPE and len(classes) < _MOST_BASES:
            classes.append(kind)
            base = self.pointer(kind.address + py.TYPE_BASE)
            if not base:
                break
            kind = self.type(base)
        for one in reversed(classes):
            count = self.signed(one.address + py.VAR_SIZE)
            if not 0 < count <= _MOST_SLOTS:
                continue
            first = one.address + self.type_of(one.address).basic_size
            for number in range(count):
                name, member, offset = self.pointers(first + number * _MEMBER_BYTES, 3)
                if member & 0xFFFFFFFF in _OBJECT_MEMBERS and 0 < offset < 1 << 20:
                    yield self.c_text(name), offset
