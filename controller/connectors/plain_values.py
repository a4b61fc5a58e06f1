"""Values that libraries give, of databases and of XML, as JSON has them."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

from controller.connectors.contents import in_base64


def plain(value: Any) -> Any:
    """Times in ISO 8601, intervals in seconds, bytes as {"base64": "..."}, infinities and what else there is as text.

    A decimal number is an integer or a float where that is exact, otherwise text.
    """
    found: Any
    match value:
        case None | bool() | int() | str():
            found = value
        case float():
            found = value if math.isfinite(value) else str(value)
        case decimal.Decimal():
            found = _number(value)
        case dt.datetime() | dt.date() | dt.time():
            found = value.isoformat()
        case dt.timedelta():
            found = value.total_seconds()
        case bytes() | bytearray() | memoryview():
            found = in_base64(bytes(value))
        case dict():
            found = {str(key): plain(item) for key, item in value.items()}
        case set() | frozenset():
            found = sorted(map(str, value))
        case list() | tuple():
            found = [plain(item) for item in value]
        case _:
            found = str(value)
    return found


def _number(value: decimal.Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value():
        return int(value)
    as_float = float(value)
    return as_float if decimal.Decimal(repr(as_float)) == value else str(value)
