"""Contents of files on their way through JSON: text as it is, bytes as {"base64": "..."}."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from controller.connectors.errors import invalid, refused
from controller.connectors.inputs import Input

# base64 makes four bytes of three, and one value that crosses the API may have 16 MiB.
MAX_CONTENT_BYTES: Final = 11 * 1024 * 1024

CONTENT = Input((str, dict), 'what to write: text, sent as UTF-8, or {"base64": "..."}')
BINARY = Input((bool,), 'what is read comes as {"base64": "..."} instead of text', default=False)


def to_bytes(value: Any, name: str) -> bytes:
    """The bytes that an input stands for. Raises ConnectorError."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, dict) and set(value) == {"base64"} and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(f"input {name} is no base64: {error}") from error
    raise invalid(f'input {name} must be a text or {{"base64": "..."}}')


def from_bytes(content: bytes, what: str, *, binary: bool) -> Any:
    """Text, or with binary {"base64": "..."}. Raises ConnectorError for what is not UTF-8 or too large."""
    if len(content) > MAX_CONTENT_BYTES:
        raise too_large(what)
    if binary:
        return in_base64(content)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"{what} is not UTF-8 (byte {error.start}); ask for it with binary=True") from error


def in_base64(content: bytes) -> dict[str, str]:
    """How bytes stand in JSON."""
    return {"base64": base64.b64encode(content).decode()}


def too_large(what: str) -> Exception:
    """The error for more than MAX_CONTENT_BYTES."""
    return refused(f"{what} is larger than {MAX_CONTENT_BYTES // 1024**2} MiB; fetch it from within the flow")
