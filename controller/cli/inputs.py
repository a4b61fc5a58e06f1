"""What a user hands over: a flow's file, key=value pairs, JSON files; read, checked and bounded."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from controller.cli.errors import CliError, usage_error

# The controller's own limit for one JSON value (Config.max_value_bytes by default).
MAX_VALUE_BYTES = 16 * 1024 * 1024


def read_flow(path: Path) -> str:
    """The text of a flow's file; CliError when it can't be one. Whether it is valid Python is the controller's say."""
    content = read_bytes(path, "flow file")
    try:
        # A byte order mark is no part of the program.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise usage_error(
            f"the flow file {path} is not UTF-8 (byte {error.start} is 0x{content[error.start]:02x}): save it as UTF-8"
        ) from error


def input_value(pairs: Sequence[str], file: Path | None) -> bytes:
    """The input as JSON bytes: the file's value, overlaid with the key=value pairs; empty when there is neither."""
    if file is None and not pairs:
        return b""
    value: Any = {} if file is None else read_json(file, "input file")
    if pairs:
        if not isinstance(value, dict):
            raise usage_error(
                f"the input file {file} holds {_kind(value)}, and --input adds keys to an object only: "
                "put all of the input into the file"
            )
        value |= key_values(pairs, "--input")
    return encoded(value, "the input")


def key_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Values that parse as JSON are that; all others are text. The last of equal keys wins."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise usage_error(f"{option} {pair!r} is not KEY=VALUE: write for example {option} count=3")
        try:
            values[key] = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            values[key] = text
    return values


def secrets(pairs: Sequence[str]) -> dict[str, str]:
    """Texts by name: KEY=TEXT, KEY=@FILE without the file's last line break, KEY=- for standard input."""
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            # Not repeated: what was meant for a secret may be one.
            raise usage_error("--secret is not KEY=TEXT, KEY=@FILE or KEY=-: write for example --secret password=@file")
        if text == "-" or text.startswith("@"):
            content = read_bytes(Path(text.removeprefix("@")), f"file of the secret {key}")
            try:
                text = content.decode().removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                raise usage_error(f"the secret {key} is not UTF-8 text") from error
        values[key] = text
    return values


def read_json(path: Path, what: str) -> Any:
    """The JSON value in a file ("-": standard input); CliError that names the file and the place."""
    content = read_bytes(path, what)
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise usage_error(f"the {what} {path} is not JSON: {error}") from error


def encoded(value: Any, what: str) -> bytes:
    """JSON bytes, refused above the limit before anything is sent."""
    try:
        content = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise usage_error(f"{what} is not valid text: {error}") from error
    if len(content) > MAX_VALUE_BYTES:
        raise _too_large(what)
    return content


def read_bytes(path: Path, what: str) -> bytes:
    """A file's content ("-": standard input); CliError when it can't be read or is larger than one value may be."""
    if path == Path("-"):
        content = sys.stdin.buffer.read(MAX_VALUE_BYTES + 1)
    elif path.is_dir():
        raise usage_error(f"the {what} {path} is a folder: name a file in it")
    else:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_VALUE_BYTES + 1)
        except OSError as error:
            raise usage_error(f"the {what} {path} can't be read: {error.strerror}") from error
    if len(content) > MAX_VALUE_BYTES:
        raise _too_large(f"the {what} {path}")
    return content


def _too_large(what: str) -> CliError:
    return usage_error(
        f"{what} is larger than {MAX_VALUE_BYTES // 1024**2} MiB, the most that the controller takes: "
        "hand over a path or a URL and let the flow fetch the data"
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
