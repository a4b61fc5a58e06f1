"""What a connector accepts: its inputs as a declaration, and the check against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
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
    """One input. types: those of JSON, float taking integers too; minimum: for numbers, inclusive.

    secret: never shown, encrypted in a connection. help: one line, for `snapctl connection types`.
    place: says where a connection leads, or how it is sure to be there, and so is out of reach of a flow that uses one,
    but for a value (True or False) in harmless.
    """

    types: tuple[type, ...]
    help: str = ""
    required: bool = False
    default: Any = None
    minimum: float | None = None
    choices: tuple[str, ...] = ()
    secret: bool = False
    place: bool = False
    harmless: tuple[bool, ...] = ()

    @property
    def type_name(self) -> str:
        """The JSON types in words: "a text or a list"; "anything" for all of them."""
        return "anything" if self.types == ANY else " or ".join(_WORDS[kind] for kind in self.types)


Inputs = Mapping[str, Input]

# Of every connector that goes over a network.
ATTEMPTS: Inputs = MappingProxyType(
    {
        "timeout": Input((float,), "seconds for one attempt", default=60.0, minimum=0.001),
        "retries": Input((int,), "further attempts after a failure that left nothing done", default=0, minimum=0),
        "retry_backoff": Input(
            (float,), "seconds before the first of them, doubled each time up to 60", default=1.0, minimum=0
        ),
    }
)


def login(*, username: str = "user name", password: str = "password") -> Inputs:  # noqa: S107  these are help texts
    """The inputs username and password, with their help."""
    return {"username": Input((str,), username), "password": Input((str,), password, secret=True)}


def checked(declared: Inputs, given: Mapping[str, Any], *, whole: bool = True) -> dict[str, Any]:
    """A value for each declared input, its default (None without one) where none was given; null counts as not given.

    whole: False for a part of the inputs, as a connection holds it: required ones may be missing.
    Raises ConnectorError: ExtraInputError, MissingInputError or InvalidInputError, with the input's name and without
    its value, which may be a secret.
    """
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise extra(f"unknown input {', '.join(unknown)}; known are {', '.join(sorted(declared))}")
    values: dict[str, Any] = {}
    for name, declaration in declared.items():
        value = given.get(name)
        if value is None:
            if declaration.required and whole:
                raise missing(f"input {name} is required")
            values[name] = declaration.default
        else:
            _check(name, declaration, value)
            values[name] = value
    return values


def at_most_one(values: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The one of the named inputs that was given, or None. Raises ConnectorError for several."""
    given = [name for name in names if values[name] is not None]
    if len(given) > 1:
        raise extra(f"inputs {' and '.join(given)} exclude each other; give one of {', '.join(names)}")
    return given[0] if given else None


def one_of(values: Mapping[str, Any], names: Sequence[str]) -> str:
    """The one of the named inputs that was given. Raises ConnectorError for several and for none."""
    given = at_most_one(values, names)
    if given is None:
        raise missing(f"one of the inputs {', '.join(names)} is required")
    return given


def needed(values: Mapping[str, Any], name: str, action: str) -> Any:
    """The value of an input that one action can't do without. Raises ConnectorError."""
    if values[name] is None:
        raise missing(f"input {name} is required for {action}")
    return values[name]


def texts(values: Mapping[str, Any], name: str) -> list[str]:
    """An input that is one text or a list of them, as a list; empty when it was not given. Raises ConnectorError."""
    value = values[name]
    found = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in found):
        raise invalid(f"input {name} must be a text or a list of texts")
    return found


def _check(name: str, declaration: Input, value: Any) -> None:
    if not any(_is(value, kind) for kind in declaration.types):
        wanted = " or ".join(_WORDS[kind] for kind in declaration.types)
        raise invalid(f"input {name} must be {wanted}, not {_WORDS.get(type(value), type(value).__name__)}")
    if declaration.minimum is not None and isinstance(value, int | float) and not value >= declaration.minimum:
        raise invalid(f"input {name} must be at least {declaration.minimum:g}, not {value}")
    if declaration.choices and value not in declaration.choices:
        raise invalid(f"input {name} must be one of {', '.join(declaration.choices)}, not {value!r}")


def _is(value: Any, kind: type) -> bool:
    # To Python true is an integer, and to a person it is not.
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)
