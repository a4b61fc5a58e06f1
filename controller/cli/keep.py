"""What is kept of savepoints, as it is written on the command line: newest=50 one-in=10 max-size=2g."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from controller.cli import units
from controller.cli.errors import usage_error

if TYPE_CHECKING:
    from flowsnap.v1 import retention_pb2

EXPLANATION = """\b
newest=N      implicit savepoints that are kept, the newest; all: every one
one-in=M      of older ones each whose number is a multiple of M; none: none of them
max-age=7d    implicit ones go when they are older; none: at no age
max-number=N  quota of savepoints of an execution; none: no quota
max-size=2g   quota of what they take in the store; none: no quota
Named savepoints, and those that somebody asked for, are removed by no rule."""

_DAY_S = 86400


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**63):
        raise usage_error(f"{text!r} is not a number from 1 on")
    return int(text)


def _age(value: int) -> str:
    for unit_s, unit in ((_DAY_S, "d"), (3600, "h"), (60, "m")):
        if value % unit_s == 0:
            return f"{value // unit_s}{unit}"
    return f"{value}s"


# By key: the field of the contract, the word for 0, how it is read and how it is shown.
_KEYS: dict[str, tuple[str, str, Callable[[str], int], Callable[[int], str]]] = {
    "newest": ("newest", "all", _number, str),
    "one-in": ("one_in", "none", _number, str),
    "max-age": ("max_age_s", "none", units.parse_duration, _age),
    "max-number": ("max_number", "none", _number, str),
    "max-size": ("max_bytes", "none", units.parse_size, units.size),
}


def parse(parts: Iterable[str]) -> retention_pb2.KeepRule:
    """The rule of KEY=VALUE parts. Raises CliError."""
    from flowsnap.v1 import retention_pb2

    rule = retention_pb2.KeepRule()
    if not (parts := list(parts)):
        raise usage_error("the rule says nothing: give at least one KEY=VALUE, such as newest=50")
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or key not in _KEYS:
            raise usage_error(f"{part!r} is none of {', '.join(f'{key}=VALUE' for key in _KEYS)}")
        field, no_limit, read, _ = _KEYS[key]
        try:
            setattr(rule, field, 0 if value == no_limit else read(value))
        except ValueError as error:
            raise usage_error(f"{part!r}: {error}") from error
    return rule


def values(rule: retention_pb2.KeepRule) -> dict[str, int]:
    """What it says, by key; 0 for no limit."""
    return {key: getattr(rule, field) for key, (field, *_) in _KEYS.items() if rule.HasField(cast("Any", field))}


def shown(key: str, value: int) -> str:
    _, no_limit, _, show = _KEYS[key]
    return show(value) if value else no_limit
