"""One call as its handler sees it, and the ways it may refuse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller import errors
from controller.live import Live
from controller.model import Call, Filter, Outcome
from controller.values import MAX_NAME_CHARACTERS, finite_number

# Of the core's errors, those that a flow has an exception for; all others are InternalError there.
FLOW_ERRORS: Mapping[type[errors.FlowsnapError], str] = {
    errors.NotFound: "ResourceNotFoundError",
    errors.InvalidArgument: "InvalidInputError",
    errors.PermissionDenied: "PermissionDenied",
}


class CallFailed(Exception):
    """Raised in the flow as error_type, the name of a class in flow_api.exceptions."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message


@dataclass(frozen=True, slots=True)
class FlowCall:
    """A call with its arguments, a JSON object. The readers below raise CallFailed for what is missing or wrong."""

    live: Live
    call: Call
    args: dict[str, Any]

    @property
    def execution_id(self) -> str:
        return self.call.key.execution_id

    def argument(self, name: str) -> Any:
        if name not in self.args:
            raise CallFailed("MissingInputError", f"{self.call.name}: the argument {name!r} is missing")
        return self.args[name]

    def text(self, name: str, default: str | None = None) -> str:
        value = self.args.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(self.argument(name), str):
            raise self.invalid(f"{name!r} has to be text, not {type(value).__name__}")
        return str(value)

    def name(self, name: str = "name") -> str:
        """1 to 200 printable characters."""
        value = self.text(name)
        if not 1 <= len(value) <= MAX_NAME_CHARACTERS or not value.isprintable():
            raise self.invalid(f"the name {value[:300]!r} has to be 1 to {MAX_NAME_CHARACTERS} printable characters")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.args.get(name, default)
        if not isinstance(value, bool):
            raise self.invalid(f"{name!r} has to be True or False, not {value!r}")
        return value

    def seconds(self, name: str) -> float | None:
        """At least 0; None where it is absent."""
        value = self.args.get(name)
        if value is None:
            return None
        seconds = finite_number(value)
        if seconds is None or seconds < 0:
            raise self.invalid(f"{name!r} has to be a number of seconds of at least 0, not {value!r}")
        return seconds

    def filter(self, name: str = "filter") -> Filter | None:
        """{"field", "op", "value"}, op being "eq" when it is left out; None where it is absent."""
        if self.args.get(name) is None:
            return None
        given = self.mapping(name)
        if unknown := sorted(given.keys() - {"field", "op", "value"}):
            raise self.invalid(f"the {name} has an unknown key {unknown[0]!r}; it takes field, op and value")
        field, op = given.get("field"), given.get("op", "eq")
        if not isinstance(field, str) or not isinstance(op, str) or "value" not in given:
            raise self.invalid(f"the {name} has to be {{'field': name, 'op': 'eq', 'value': ...}}")
        return Filter(field, op, given["value"])

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.argument(name)
        if not isinstance(value, dict):
            raise self.invalid(f"{name!r} has to be an object, not {type(value).__name__}")
        return value

    def items(self, name: str) -> list[Any]:
        value = self.argument(name)
        if not isinstance(value, list):
            raise self.invalid(f"{name!r} has to be a list, not {type(value).__name__}")
        return value

    def invalid(self, what: str) -> CallFailed:
        return CallFailed("InvalidInputError", f"{self.call.name}: {what}")


# A JSON value for the flow, or an Outcome where the call does not simply return.
Handler = Callable[[FlowCall], Awaitable[Outcome | Any]]
