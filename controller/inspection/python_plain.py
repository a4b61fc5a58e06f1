"""CPython's plain values as text: numbers, dates, what refers to nothing else.

Raises Absent, ValueError and OverflowError for what only looks like one.

The layouts beyond the debug offsets are those of CPython 3.13's structures, named at each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from controller.inspection import python_layout as py
from controller.inspection.errors import Absent
from controller.inspection.python_heap import Heap, Type

_MOST_DIGITS: Final = 100
_DIGIT_BITS: Final = 30
_DECIMAL_WORD: Final = 10**19


def integer(heap: Heap, address: int) -> int | None:
    """An int; None: it has too many digits."""
    tag = heap.pointer(address + heap.at["int.lv_tag"])
    sign, digits = tag & 3, tag >> 3
    if digits > _MOST_DIGITS:
        return None
    data = heap.memory.read(address + heap.at["int.ob_digit"], 4 * digits)
    number = 0
    for digit in reversed(struct.unpack(f"<{digits}I", data)):
        number = number << _DIGIT_BITS | digit
    return (number, 0, -number, number)[sign]


def _int(heap: Heap, address: int, kind: Type) -> str:
    number = integer(heap, address)
    if number is None:
        return f"<{kind.short_name} of more than {_MOST_DIGITS * _DIGIT_BITS} bits>"
    return str(number) if kind.may_be("int") else f"{kind.short_name}({number})"


def _bool(heap: Heap, address: int, _kind: Type) -> str:
    return str(bool(integer(heap, address)))


def _float(heap: Heap, address: int, _kind: Type) -> str:
    return repr(struct.unpack("<d", heap.memory.read(address + heap.at["float.ob_fval"], 8))[0])


def _complex(heap: Heap, address: int, _kind: Type) -> str:
    return repr(complex(*struct.unpack("<dd", heap.memory.read(address + py.FIRST_FIELD, 16))))


def _datetime(heap: Heap, address: int, _kind: Type) -> str:
    """PyDateTime_DateTime: the time zone stays unsaid but for its being there."""
    has_zone, high, low, month, day, hour, minute, second, *parts = heap.memory.read(address + 24, 11)
    # The offset of the time zone can only be told by its code.
    moment = datetime(high << 8 | low, month, day, hour, minute, second, _microseconds(parts))  # noqa: DTZ001
    return _with_zone(heap, repr(moment), heap.pointer(address + 40) if has_zone else 0)


def _time(heap: Heap, address: int, _kind: Type) -> str:
    """PyDateTime_Time."""
    has_zone, hour, minute, second, *parts = heap.memory.read(address + 24, 7)
    moment = time(hour, minute, second, _microseconds(parts))
    return _with_zone(heap, repr(moment), heap.pointer(address + 32) if has_zone else 0)


def _with_zone(heap: Heap, text: str, zone: int) -> str:
    text = text.removeprefix("datetime.")
    return f"{text[:-1]}, tzinfo=<{heap.type_of(zone).short_name}>)" if zone else text


def _date(heap: Heap, address: int, _kind: Type) -> str:
    """PyDateTime_Date."""
    high, low, month, day = heap.memory.read(address + 25, 4)
    return repr(date(high << 8 | low, month, day)).removeprefix("datetime.")


def _timedelta(heap: Heap, address: int, _kind: Type) -> str:
    """PyDateTime_Delta."""
    days, seconds, microseconds = struct.unpack("<iii", heap.memory.read(address + 24, 12))
    return repr(timedelta(days, seconds, microseconds)).removeprefix("datetime.")


def _microseconds(parts: list[int]) -> int:
    return parts[0] << 16 | parts[1] << 8 | parts[2]


def _decimal(heap: Heap, address: int, _kind: Type) -> str:
    """PyDecObject, which holds libmpdec's mpd_t."""
    flags = heap.memory.read(address + 24, 1)[0]
    exponent, _, words, _, data = struct.unpack("<qqqqQ", heap.memory.read(address + 32, 40))
    sign = flags & 1
    if flags & 14:
        return f"Decimal('{'-' if sign else ''}{'Infinity' if flags & 2 else 'NaN'}')"
    if not 0 < words <= _MOST_DIGITS or abs(exponent) > 1 << 40:
        raise Absent("there is no decimal number")
    number = 0
    for word in reversed(heap.pointers(data, words)):
        number = number * _DECIMAL_WORD + word
    return f"Decimal('{Decimal((sign, tuple(map(int, str(number))), exponent))}')"


def _function(heap: Heap, address: int, _kind: Type) -> str:
    return f"<function {heap.name(heap.pointer(address + py.FUNCTION_QUALNAME))}>"


def _method(heap: Heap, address: int, _kind: Type) -> str:
    function = heap.pointer(address + py.METHOD_FUNCTION)
    return f"<method {heap.name(heap.pointer(function + py.FUNCTION_QUALNAME))}>"


def _module(heap: Heap, address: int, _kind: Type) -> str:
    return f"<module {heap.name(heap.pointer(address + py.MODULE_NAME))}>"


Plain = Callable[[Heap, int, Type], str]

BY_NAME: Final[dict[str, Plain]] = {
    "NoneType": lambda _heap, _address, _kind: "None",
    "ellipsis": lambda _heap, _address, _kind: "Ellipsis",
    "NotImplementedType": lambda _heap, _address, _kind: "NotImplemented",
    "bool": _bool,
    "float": _float,
    "complex": _complex,
    "datetime.datetime": _datetime,
    "datetime.date": _date,
    "datetime.time": _time,
    "datetime.timedelta": _timedelta,
    "decimal.Decimal": _decimal,
    "function": _function,
    "method": _method,
    "module": _module,
}
BY_FLAG: Final[tuple[tuple[int, Plain], ...]] = (
    (py.INT, _int),
    (py.TYPE, lambda heap, address, _kind: f"<class {heap.type(address).short_name}>"),
)
