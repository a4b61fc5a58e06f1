"""Where CPython keeps what, as it says itself: the debug offsets at the beginning of its runtime state.

Include/internal/pycore_runtime.h (`_Py_DebugOffsets`) of CPython 3.13 is the source of names and order.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

COOKIE: Final = b"xdebugpy"

# Names of the 64-bit numbers that follow the cookie.
_NAMES: Final = (  # noqa: SIM905 - a list of its lines would be three times as long
    "version free_threaded"
    " runtime.size runtime.finalizing runtime.interpreters_head"
    " interpreter.size interpreter.id interpreter.next interpreter.threads_head interpreter.gc"
    " interpreter.imports_modules interpreter.sysdict interpreter.builtins interpreter.ceval_gil"
    " interpreter.gil_runtime_state interpreter.gil_enabled interpreter.gil_locked interpreter.gil_holder"
    " thread.size thread.prev thread.next thread.interp thread.current_frame thread.thread_id"
    " thread.native_thread_id thread.datastack_chunk thread.status"
    " frame.size frame.previous frame.executable frame.instr_ptr frame.localsplus frame.owner"
    " code.size code.filename code.name code.qualname code.linetable code.firstlineno code.argcount"
    " code.localsplusnames code.localspluskinds code.co_code_adaptive"
    " object.size object.ob_type"
    " type.size type.tp_name type.tp_repr type.tp_flags"
    " tuple.size tuple.ob_item tuple.ob_size"
    " list.size list.ob_item list.ob_size"
    " dict.size dict.ma_keys dict.ma_values"
    " float.size float.ob_fval"
    " int.size int.lv_tag int.ob_digit"
    " bytes.size bytes.ob_size bytes.ob_sval"
    " str.size str.state str.length str.asciiobject_size"
    " gc.size gc.collecting"
).split()
_NUMBERS: Final = struct.Struct(f"<{len(_NAMES)}Q")
SIZE: Final = len(COOKIE) + _NUMBERS.size

# What isn't told is known of these only.
_KNOWN: Final = ((3, 13),)
# No structure of CPython is larger.
_LARGEST_OFFSET: Final = 1 << 20


class UnknownPython(Exception):
    """Variables of this version can't be read."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets in bytes by structure and field."""

    version: str
    at: dict[str, int]


def parse(data: bytes) -> Layout | None:
    """The layout from SIZE bytes at the cookie; None: it only looks like one. Raises UnknownPython."""
    if not data.startswith(COOKIE) or len(data) < SIZE:
        return None
    numbers = dict(zip(_NAMES, _NUMBERS.unpack_from(data, len(COOKIE)), strict=True))
    version, free_threaded = numbers.pop("version"), numbers.pop("free_threaded")
    major, minor, micro = version >> 24, version >> 16 & 0xFF, version >> 8 & 0xFF
    if major != 3 or not minor:  # noqa: PLR2004
        return None
    text = f"{major}.{minor}.{micro}"
    if (major, minor) not in _KNOWN:
        raise UnknownPython(f"Python {text} is not known")
    if free_threaded:
        raise UnknownPython(f"Python {text} without its global lock is not known")
    if max(numbers.values()) > _LARGEST_OFFSET:
        return None
    return Layout(text, numbers)


# CPython 3.13, 64 bits: what the debug offsets leave out, in bytes.
TYPE_BASICSIZE: Final = 32
TYPE_BASE: Final = 256
TYPE_DICT: Final = 264
TYPE_DICTOFFSET: Final = 288
TYPE_CACHED_KEYS: Final = 880
CODE_FLAGS: Final = 48
FRAME_GLOBALS: Final = 24
FRAME_LOCALS: Final = 40
GENERATOR_STATE: Final = 67
GENERATOR_FRAME: Final = 72
CELL_VALUE: Final = 16
MODULE_DICT: Final = 16
MODULE_NAME: Final = 48
FUNCTION_QUALNAME: Final = 40
METHOD_FUNCTION: Final = 16
VAR_SIZE: Final = 16
MANAGED_DICT: Final = -24
EXCEPTION_ARGUMENTS: Final = 24
# After the header of an object, of compact non-ASCII text, of the values of a split dictionary.
FIRST_FIELD: Final = 16
WIDE_TEXT: Final = 56
SPLIT_VALUES: Final = 8

HEAP_TYPE: Final = 1 << 9
INLINE_VALUES: Final = 1 << 2
HAS_MANAGED_DICT: Final = 1 << 4
INT, LIST, TUPLE, BYTES, STR, DICT, EXCEPTION, TYPE = (1 << bit for bit in range(24, 32))
OPTIMIZED_CODE: Final = 1
KIND_CELL, KIND_FREE = 0x40, 0x80
FRAME_OF_C: Final = 3
