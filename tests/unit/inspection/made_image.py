"""Savepoint images made by hand: CRIU's files of one process, and a small CPython 3.13 in its memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence

from flowsnap.criu import images_pb2 as criu
from google.protobuf.message import Message

from controller.inspection import python_layout as py
from store.chunk import digest_of

PAGE = 4096
HEAP = 0x10000
DATA = 0x400000
PROGRAM = "/usr/bin/python3"

_NAMES = py._NAMES
_OFFSETS = dict.fromkeys(_NAMES, 0) | {
    "version": 0x030D05F0,
    "runtime.interpreters_head": 8 * len(_NAMES) + 64,
    "interpreter.next": 0,
    "interpreter.threads_head": 8,
    "interpreter.imports_modules": 16,
    "thread.next": 8,
    "thread.current_frame": 16,
    "thread.thread_id": 24,
    "thread.native_thread_id": 32,
    "frame.executable": 0,
    "frame.previous": 8,
    "frame.instr_ptr": 56,
    "frame.owner": 70,
    "frame.localsplus": 72,
    "code.filename": 112,
    "code.name": 120,
    "code.qualname": 128,
    "code.linetable": 136,
    "code.firstlineno": 68,
    "code.localsplusnames": 96,
    "code.localspluskinds": 104,
    "code.co_code_adaptive": 200,
    "object.ob_type": 8,
    "type.tp_name": 24,
    "type.tp_flags": 168,
    "tuple.ob_item": 24,
    "tuple.ob_size": 16,
    "list.ob_item": 24,
    "list.ob_size": 16,
    "dict.ma_keys": 32,
    "dict.ma_values": 40,
    "float.ob_fval": 16,
    "int.lv_tag": 16,
    "int.ob_digit": 24,
    "bytes.ob_size": 16,
    "bytes.ob_sval": 32,
    "str.state": 32,
    "str.length": 16,
    "str.asciiobject_size": 40,
}


class Files:
    """An image in memory, as store.ImageView shows one."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)

    def names(self) -> list[str]:
        return list(self.files)

    def size(self, name: str) -> int:
        return len(self.files[name])

    def read(self, name: str, offset: int, length: int) -> bytes:
        return self.files[name][offset : offset + length] if offset >= 0 else b""

    def page_digests(self, name: str) -> Sequence[bytes]:
        data = self.files[name]
        return [digest_of(data[at : at + PAGE]) for at in range(0, len(data), PAGE)]


def framed(*messages: Message, magic: int = 1) -> bytes:
    """As CRIU writes a file of messages."""
    parts = [struct.pack("<II", 0x54564319, magic)]
    for message in messages:
        data = message.SerializeToString()
        parts += [struct.pack("<I", len(data)), data]
    return b"".join(parts)


class Memory:
    """What objects are put into, one behind the other."""

    def __init__(self, pages: int = 16) -> None:
        self.data = bytearray(pages * PAGE)
        self._next = 64
        self.types: dict[str, int] = {}
        self._make_types()

    def take(self, size: int) -> int:
        address = HEAP + self._next
        self._next += -(-size // 16) * 16
        assert self._next < len(self.data)
        return address

    def put(self, address: int, data: bytes) -> None:
        self.data[address - HEAP : address - HEAP + len(data)] = data

    def number(self, address: int, value: int) -> None:
        self.put(address, struct.pack("<Q", value & (1 << 64) - 1))

    def _make_types(self) -> None:
        for name, flags in {
            "type": py.TYPE,
            "int": py.INT,
            "str": py.STR,
            "bytes": py.BYTES,
            "tuple": py.TUPLE,
            "list": py.LIST,
            "dict": py.DICT,
            "set": 0,
            "code": 0,
            "NoneType": 0,
        }.items():
            self.types[name] = self.new_type(name, flags)

    def new_type(self, name: str, flags: int) -> int:
        address, text = self.take(928), self.take(len(name) + 1)
        self.put(text, name.encode() + b"\0")
        self.number(address + 8, self.types.get("type", address))
        self.number(address + 24, text)
        self.number(address + 32, 16)
        self.number(address + 168, flags)
        return address

    def object(self, kind: str, size: int) -> int:
        address = self.take(size)
        self.number(address + 8, self.types[kind])
        return address

    def int(self, value: int) -> int:
        address = self.object("int", 40)
        digits = []
        rest = abs(value)
        while rest:
            digits.append(rest & (1 << 30) - 1)
            rest >>= 30
        sign = 2 if value < 0 else 1 if not value else 0
        self.number(address + 16, len(digits) << 3 | sign)
        self.put(address + 24, struct.pack(f"<{len(digits)}I", *digits))
        return address

    def str(self, value: str) -> int:
        address = self.object("str", 41 + len(value))
        self.number(address + 16, len(value))
        self.put(address + 32, struct.pack("<I", 1 << 2 | 1 << 5 | 1 << 6))
        self.put(address + 40, value.encode("ascii"))
        return address

    def bytes(self, value: bytes) -> int:
        address = self.object("bytes", 33 + len(value))
        self.number(address + 16, len(value))
        self.put(address + 32, value)
        return address

    def tuple(self, *items: int) -> int:
        address = self.object("tuple", 24 + 8 * len(items))
        self.number(address + 16, len(items))
        self.put(address + 24, struct.pack(f"<{len(items)}Q", *items))
        return address

    def list(self, *items: int) -> int:
        address, array = self.object("list", 40), self.take(8 * len(items) + 8)
        self.number(address + 16, len(items))
        self.number(address + 24, array)
        self.put(array, struct.pack(f"<{len(items)}Q", *items))
        return address

    def dict(self, *items: tuple[int, int]) -> int:
        address, keys = self.object("dict", 48), self.take(32 + 8 + 24 * len(items))
        self.number(address + 16, len(items))
        self.number(address + 32, keys)
        self.put(keys, struct.pack("<qBBBBIqq", 1, 3, 3, 0, 0, 0, 0, len(items)))
        for number, (key, value) in enumerate(items):
            self.put(keys + 40 + 24 * number, struct.pack("<QQQ", 0, key, value))
        return address

    def frame(
        self, function: str, line: int, variables: Mapping[str, int], previous: int = 0, file: str = "/flow/flow.py"
    ) -> int:
        code = self.object("code", 208)
        self.put(code + 48, struct.pack("<I", 3))
        self.put(code + 68, struct.pack("<I", line))
        self.number(code + 96, self.tuple(*(self.str(name) for name in variables)))
        self.number(code + 104, self.bytes(bytes([0x20]) * len(variables)))
        self.number(code + 112, self.str(file))
        self.number(code + 120, self.str(function))
        self.number(code + 128, self.str(function))
        # One entry of the short kind: eight code units on the first line.
        self.number(code + 136, self.bytes(bytes([0x80 | 7, 0])))
        address = self.take(72 + 8 * len(variables))
        self.number(address, code)
        self.number(address + 8, previous)
        self.number(address + 40, 1)
        self.number(address + 56, code + 200)
        self.put(address + 72, struct.pack(f"<{len(variables)}Q", *variables.values()))
        return address

    def interpreter(self, *frames: int) -> int:
        """With a thread for each frame."""
        first = 0
        for number, frame in enumerate(frames):
            thread = self.take(40)
            self.put(thread, struct.pack("<QQQQQ", 0, first, frame, 1000 + number, 1 + number))
            first = thread
        address = self.take(24)
        self.put(address, struct.pack("<QQQ", 0, first, self.dict()))
        return address


def runtime(interpreter: int, **changed: int) -> bytes:
    """The page of the program's data that the debug offsets begin; changed: offsets, with _ for their dot."""
    offsets = _OFFSETS | {name.replace("_", ".", 1): value for name, value in changed.items()}
    head = py.COOKIE + struct.pack(f"<{len(_NAMES)}Q", *(offsets[name] for name in _NAMES))
    page = bytearray(head.ljust(PAGE, b"\0"))
    struct.pack_into("<Q", page, offsets["runtime.interpreters_head"], interpreter)
    return bytes(page)


def image(heap: bytes | bytearray, data: bytes = bytes(PAGE), **files: bytes) -> Files:
    """One process with a heap at HEAP and a page of its program's data at DATA."""
    assert len(heap) % PAGE == 0
    assert len(data) == PAGE
    areas = [
        criu.Area(start=HEAP, end=HEAP + len(heap), kind=1 << 0 | 1 << 5 | 1 << 9, protection=3),
        criu.Area(start=DATA, end=DATA + 2 * PAGE, kind=1 << 0 | 1 << 6, protection=3, object_id=1),
    ]
    pagemap = [
        criu.PagemapHead(pages_id=1),
        criu.PagemapEntry(address=HEAP, short_pages=len(heap) // PAGE, flags=4),
        criu.PagemapEntry(address=DATA, short_pages=1, flags=4),
    ]
    program = criu.File(kind=1, id=1, regular=criu.RegularFile(path=PROGRAM.encode(), size=2 * PAGE))
    found = {
        "savepoint.json": json.dumps({"criu": "4.2.1", "kernel": "6.18", "machine": "x86_64", "pipes": {}}).encode(),
        "scratch.json": b"[]",
        "criu/pstree.img": framed(criu.Process(pid=1, thread_ids=[1])),
        "criu/core-1.img": framed(
            criu.Core(task=criu.Task(state=1, command=b"python3"), objects=criu.KernelObjects(files_id=2))
        ),
        "criu/mm-1.img": framed(criu.Memory(executable_id=1, areas=areas)),
        "criu/pagemap-1.img": framed(*pagemap),
        "criu/pages-1.img": bytes(heap) + data,
        "criu/files.img": framed(program),
        "criu/fdinfo-2.img": framed(),
    }
    return Files(found | {name.replace("__", "/").replace("_img", ".img"): value for name, value in files.items()})
