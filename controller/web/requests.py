"""HTTP requests as the input of a flow: plain JSON values, without what authenticates them."""

from __future__ import annotations

import base64
import json
from email import message_from_bytes
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from controller.errors import InvalidArgument, ResourceExhausted

KEY_HEADER = "x-flowsnap-key"
KEY_PARAMETER = "key"
LARGEST_BODY_BYTES = 4 * 1024 * 1024
_SECRET_HEADERS = frozenset({KEY_HEADER, "authorization", "proxy-authorization", "cookie"})


def key_of(request: Request) -> str:
    """From the header X-Flowsnap-Key, Authorization: Bearer, or ?key=; empty when none is there."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return request.headers.get(KEY_HEADER) or bearer or request.query_params.get(KEY_PARAMETER) or ""


async def as_input(request: Request, name: str) -> dict[str, Any]:
    """{webhook, method, headers, query} and, where there is a body, one of json, form, text and content_base64.

    A header, parameter or form field that comes several times is a list. Raises InvalidArgument, ResourceExhausted.
    """
    headers = [(key, value) for key, value in request.headers.items() if key not in _SECRET_HEADERS]
    query = [(key, value) for key, value in request.query_params.multi_items() if key != KEY_PARAMETER]
    return {
        "webhook": name,
        "method": request.method,
        "headers": _gathered(headers),
        "query": _gathered(query),
        **_body(await _content(request), request.headers.get("content-type", "")),
    }


async def _content(request: Request) -> bytes:
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > LARGEST_BODY_BYTES:
            raise ResourceExhausted(f"the request's body has more than {LARGEST_BODY_BYTES} bytes, the limit")
    return bytes(parts)


def _body(content: bytes, content_type: str) -> dict[str, Any]:
    kind = content_type.partition(";")[0].strip().lower()
    if not content:
        return {}
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return {"json": json.loads(content, parse_constant=_refuse_constant)}
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"the request's body is no JSON: {error}") from error
    if kind == "application/x-www-form-urlencoded":
        try:
            return {"form": _gathered(parse_qsl(content.decode(), keep_blank_values=True, errors="strict"))}
        except ValueError as error:
            raise InvalidArgument(f"the request's form can't be read: {error}") from error
    if kind == "multipart/form-data":
        return {"form": _gathered(_multipart(content, content_type))}
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"content_base64": base64.b64encode(content).decode()}


def _multipart(content: bytes, content_type: str) -> list[tuple[str, Any]]:
    """Fields as text; files as {filename, content_type, content_base64}."""
    parsed = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content, policy=HTTP)
    if not parsed.is_multipart():
        raise InvalidArgument("the request's body is no multipart form: its boundary is missing")
    fields: list[tuple[str, Any]] = []
    for part in parsed.iter_parts():
        raw = part.get_payload(decode=True)
        value = raw if isinstance(raw, bytes) else b""
        name = str(part.get_param("name", "", header="content-disposition"))
        filename = part.get_filename()
        if filename is None:
            fields.append((name, value.decode(errors="replace")))
        else:
            encoded = base64.b64encode(value).decode()
            fields.append(
                (name, {"filename": filename, "content_type": part.get_content_type(), "content_base64": encoded})
            )
    return fields


def _gathered(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for key, value in items:
        found.setdefault(key, []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not part of JSON")
