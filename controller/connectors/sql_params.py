"""Parameters of SQL statements: $1, ? and :name as the driver wants them, quoted text and comments left alone."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable
from typing import Any

from controller.connectors.contents import to_bytes
from controller.connectors.errors import invalid


class Placeholders(enum.Enum):
    """How a list's values stand in a statement, by the custom of the server."""

    DOLLAR = r"\$(?P<number>\d+)"
    QUESTION_MARK = r"(?P<mark>\?)"


# What is not closed goes on to the end, as for the servers, which refuse it then; and nothing is looked at twice.
_QUOTED = {
    Placeholders.DOLLAR: (
        r"(?<![\w])[eE]'(?:[^'\\]|\\(?:.|\Z)|'')*+(?:'|\Z)|'(?:[^']|'')*+(?:'|\Z)|\"(?:[^\"]|\"\")*+(?:\"|\Z)"
        r"|\$(?P<tag>[A-Za-z_]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)"
    ),
    Placeholders.QUESTION_MARK: (
        r"'(?:[^'\\]|\\(?:.|\Z)|'')*+(?:'|\Z)|\"(?:[^\"\\]|\\(?:.|\Z)|\"\")*+(?:\"|\Z)|`[^`]*(?:`|\Z)|\#[^\n]*"
    ),
}
_COMMENT = r"--[^\n]*|/\*.*?(?:\*/|\Z)"
_NAME = r"::|:(?P<name>[A-Za-z_]\w*)"


def bound(statement: str, params: Any, placeholders: Placeholders) -> tuple[str, dict[str, Any]]:
    """The statement with %(name)s for each placeholder, % doubled, and the values by name.

    params: a list or an object. Raises ConnectorError when they are not those that the statement has.
    """
    values = dict(params) if isinstance(params, dict) else {f"p{n}": value for n, value in enumerate(params, 1)}
    replace = _by_name(values) if isinstance(params, dict) else _by_position(values)
    pattern = f"(?P<kept>{_QUOTED[placeholders]}|{_COMMENT})|{_NAME}|{placeholders.value}|%"
    text = re.sub(pattern, replace, statement, flags=re.DOTALL)
    return text, values


def parameter(name: str, value: Any) -> Any:
    """A JSON value as the driver takes it: {"base64": "..."} as bytes, other objects as JSON text."""
    if isinstance(value, dict):
        return to_bytes(value, f"params, {name}") if set(value) == {"base64"} else json.dumps(value, ensure_ascii=False)
    return value


def _by_name(values: dict[str, Any]) -> Callable[[re.Match[str]], str]:
    def replaced(found: re.Match[str]) -> str:
        name = found["name"]
        if name is None:
            return found[0].replace("%", "%%")
        if name not in values:
            raise invalid(f"the statement has :{name}, and input params does not")
        return f"%({name})s"

    return replaced


def _by_position(values: dict[str, Any]) -> Callable[[re.Match[str]], str]:
    marks = 0

    def replaced(found: re.Match[str]) -> str:
        nonlocal marks
        groups = found.groupdict()
        if groups.get("number") is None and groups.get("mark") is None:
            return found[0].replace("%", "%%")
        marks += 1
        name = f"p{groups.get('number') or marks}"
        if name not in values:
            raise invalid(f"the statement has more placeholders than the {len(values)} values in input params")
        return f"%({name})s"

    return replaced
