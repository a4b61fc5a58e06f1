"""What may enter: names, JSON values and scripts, each checked once at the border."""

from __future__ import annotations

import ast
import json
import math
from typing import Any

from controller.errors import InvalidArgument
from controller.model import NULL, Json

MAX_NAME_CHARACTERS = 200


def checked_name(name: str, what: str) -> str:
    """1 to 200 printable characters, of any script. Raises InvalidArgument."""
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidArgument(f"{what} has {len(name)} characters; give it 1 to {MAX_NAME_CHARACTERS}")
    if not name.isprintable():
        raise InvalidArgument(f"{what} {name!r} has control characters; use printable ones only")
    return name


def checked_flow_name(name: str) -> str:
    """A name that is a plain file name. Raises InvalidArgument."""
    if "/" in checked_name(name, "the flow's name") or name in {".", ".."}:
        raise InvalidArgument(f"the flow's name {name!r} is no plain file name; leave the folders out")
    return name


def checked_json(value: Json, what: str, max_bytes: int) -> Json:
    """The value, or null for nothing. Raises InvalidArgument when it is too large or no JSON."""
    if len(value) > max_bytes:
        raise InvalidArgument(
            f"{what} has {len(value)} bytes, the limit is {max_bytes}; hand over a file's name or a URL instead"
        )
    try:
        parsed(value or NULL)
    except ValueError as error:
        raise InvalidArgument(f"{what} is no JSON: {error}") from error
    return value or NULL


def parsed(value: Json) -> Any:
    """Raises ValueError, also for NaN and infinities, which JSON does not have."""
    return json.loads(value, parse_constant=_refuse_constant)


def packed(value: object) -> Json:
    """JSON, UTF-8, without spaces. Raises ValueError or TypeError for what JSON can't say."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def finite_number(value: object) -> float | None:
    """The value as a float when it is a finite number (true and false are none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def checked_script(script: str, file_name: str) -> str:
    """A script that parses and has a handler. Raises InvalidArgument with file, line and Python's words."""
    try:
        tree = ast.parse(script, file_name)
    except SyntaxError as error:
        raise InvalidArgument(f"{file_name}:{error.lineno or 0}: {error.msg}; correct the script") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InvalidArgument(f"{file_name}: the script can't be parsed: {error or type(error).__name__}") from error
    if not any(_defines_handler(statement) for statement in tree.body):
        raise InvalidArgument(
            f"{file_name}: the script has no handler; define `def handler(system, this):` at its top level"
        )
    return script


def _defines_handler(statement: ast.stmt) -> bool:
    match statement:
        case ast.FunctionDef(name="handler") | ast.AsyncFunctionDef(name="handler"):
            return True
        case ast.Assign(targets=targets):
            return any(isinstance(target, ast.Name) and target.id == "handler" for target in targets)
        case ast.AnnAssign(target=ast.Name(id="handler"), value=ast.expr()):
            return True
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return any((alias.asname or alias.name) == "handler" for alias in names)
    return False


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not part of JSON")
