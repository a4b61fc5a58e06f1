"""Filters of listings as SQL."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func

from controller.db.types import EnumText, Micros
from controller.errors import InvalidArgument
from controller.model import Filter

# A pattern is compared with each place of each text, while the database does nothing else.
_LIKE_CHARACTERS = 1000
_LIKE_TEXT_CHARACTERS = 10_000
_IN_VALUES = 1000

_OPERATORS: Mapping[str, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "like": lambda column, value: func.substr(cast(column, Text), 1, _LIKE_TEXT_CHARACTERS).like(value),
    "in": lambda column, value: column.in_(value),
}


def condition(columns: Mapping[str, ColumnElement[Any]], where: Filter) -> ColumnElement[bool]:
    """The filter over these columns, by field name. Raises InvalidArgument for what can't be compared so.

    Times are ISO 8601 text; `like` has SQL's % and _, and sees the beginning of a long text; `in` takes a list.
    """
    column = columns.get(where.field)
    if column is None:
        raise InvalidArgument(f"filter: there is no field {where.field!r}; there are {', '.join(columns)}")
    compare = _OPERATORS.get(where.op)
    if compare is None:
        raise InvalidArgument(f"filter: there is no operator {where.op!r}; there are {', '.join(_OPERATORS)}")
    if where.op == "in":
        if not isinstance(where.value, list):
            raise InvalidArgument(f"filter: 'in' takes a list of values, not {where.value!r}")
        if len(where.value) > _IN_VALUES:
            raise InvalidArgument(f"filter: 'in' takes up to {_IN_VALUES} values, not {len(where.value)}; ask in parts")
        return compare(column, [_operand(column, where, value) for value in where.value])
    return compare(column, _operand(column, where, where.value))


def _operand(column: ColumnElement[Any], where: Filter, value: object) -> object:
    """The value as the column's type has it."""
    try:
        if value is None:
            return None
        if where.op == "like":
            return _pattern(str(value))
        if isinstance(column.type, Micros):
            time = datetime.fromisoformat(str(value))
            return time if time.tzinfo else time.replace(tzinfo=UTC)
        if isinstance(column.type, EnumText):
            return column.type.of(value)
    except ValueError as error:
        raise InvalidArgument(f"filter: the field {where.field!r} can't be {value!r}: {error}") from error
    if isinstance(value, dict | list):
        raise InvalidArgument(f"filter: the field {where.field!r} can't be compared with {value!r}")
    return value


def _pattern(text: str) -> str:
    if len(text) > _LIKE_CHARACTERS:
        raise InvalidArgument(f"filter: the pattern has {len(text)} characters; give up to {_LIKE_CHARACTERS}")
    return text
