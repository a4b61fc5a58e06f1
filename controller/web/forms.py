"""What pages ask of a request: form fields, numbers of the address, whether a part of the page is enough."""

from __future__ import annotations

from starlette.requests import Request

_GREATEST = 2**31 - 1


def field(request: Request, name: str) -> str:
    """Of a POST; empty when it is not there. Browsers end lines with CR and LF: LF stays."""
    return next((value for key, value in request.state.form if key == name), "").replace("\r\n", "\n")


def number(request: Request, name: str, default: int, *, least: int = 1) -> int:
    """Of the address; the default for anything that is no whole number, at least the least."""
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 10):  # noqa: PLR2004 - those of the greatest
        return default
    return min(max(int(text), least), _GREATEST)


def is_partial(request: Request) -> bool:
    """htmx asks, and takes what it needs of the answer."""
    return "hx-request" in request.headers
