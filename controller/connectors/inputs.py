"""What a connector accepts: its inputs as a declaration, and the check against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.connectors.errors import extra, invalid, missing

_WORDS: dict[type, str] = {
    str: "a text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
# What only JSON null has: a value of any type.
ANY: tuple[type, ...] = (str, int, float, bool, list, dict)


@dataclass(frozen=True, slots=True)
class Input:
    """One input. types: those of JSON, float taking integers too; minimum: for numbers, inclusive."""

    types: tuple[type, ...]
    required: bool = False
    default: Any = None
    minimum: float | None = None
    choices: tuple[str, ...] = ()


Inputs = Mapping[str, Input]


def checked(connector: str, declared: Inputs, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each declared input, its default (None without one) where none was given; null counts as not given.

    Raises ConnectorError: ExtraInputError, MissingInputError or InvalidInputError, with the input's name and without
    its value, which may be a secret.
    """
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise extra(f"{connector}: unknown input {', '.join(unknown)}; known are {', '.join(sorted(declared))}")
    values: dict[str, Any] = {}
    for name, declaration in declared.items():
        value = given.get(name)
        if value is None:
            if declaration.required:
                raise missing(f"{connector}: input {name} is required")
            values[name] = declaration.default
        else:
            _check(connector, name, declaration, value)
            values[name] = value
    return values


def at_most_one(connector: str, values: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The one of the named inputs that was given, or None. Raises ConnectorError for several."""
    given = [name for name in names if values[name] is not None]
    if len(given) > 1:
        raise extra(f"{connector}: inputs {' and '.join(given)} exclude each other; give one of {', '.join(names)}")
    return given[0] if given else None


def one_of(connector: str, values: Mapping[str, Any], names: Sequence[str]) -> str:
    """The one of the named inputs that was given. Raises ConnectorError for several and for none."""
    given = at_most_one(connector, values, names)
    if given is None:
        raise missing(f"{connector}: one of the inputs {', '.join(names)} is required")
    return given


def _check(connector: str, name: str, declaration: Input, value: Any) -> None:
    if not any(_is(value, kind) for kind in declaration.types):
        wanted = " or ".join(_WORDS[kind] for kind in declaration.types)
        raise invalid(
            f"{connector}: input {name} must be {wanted}, not {_WORDS.get(type(value), type(value).__name__)}"
        )
    if declaration.minimum is not None and isinstance(value, int | float) and not value >= declaration.minimum:
        raise invalid(f"{connector}: input {name} must be at least {declaration.minimum:g}, not {value}")
    if declaration.choices and value not in declaration.choices:
        raise invalid(f"{connector}: input {name} must be one of {', '.join(declaration.choices)}, not {value!r}")


def _is(value: Any, kind: type) -> bool:
    # To Python true is an integer, and to a person it is not.
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)
