"""Column types: times, enumerations, name lists and text, the same on every engine."""

from __future__ import annotations

import enum
import json
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from sqlalchemy import BigInteger, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Ids are compared by range for prefix search, which needs code point order; SQLite has no other.
IdText = Text().with_variant(Text(collation="C"), "postgresql")


class Micros(TypeDecorator[datetime]):
    """An aware datetime as microseconds since the epoch: exact, sortable, without an engine's time zone rules."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class CleanText(TypeDecorator[str]):
    """Text that a flow produced. PostgreSQL refuses NUL in text, so it is stored as U+FFFD on every engine."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if value and "\0" in value else value


_E = TypeVar("_E", bound=enum.StrEnum)


class EnumText(TypeDecorator[_E], Generic[_E]):
    """A StrEnum as its text, so that a dump of the database can be read without the program."""

    impl = Text
    cache_ok = True

    def __init__(self, of: type[_E]) -> None:
        super().__init__()
        self.of = of

    def process_bind_param(self, value: _E | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> _E | None:  # noqa: ARG002
        return None if value is None else self.of(value)


class NameTuple(TypeDecorator[tuple[str, ...]]):
    """A short tuple of names as a JSON list."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str:  # noqa: ARG002
        return json.dumps(value) if value else "[]"

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:  # noqa: ARG002
        return tuple(json.loads(value)) if value and value != "[]" else ()
