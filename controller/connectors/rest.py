"""The REST connector: one HTTP request, and its response as JSON."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import json
import socket
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from controller.connectors.errors import ConnectorError, invalid, missing, refused
from controller.connectors.inputs import ANY, Input, at_most_one, checked
from controller.connectors.secrets import redact, without_credentials

MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024
SHOWN_CHARACTERS: Final = 500
MAX_BACKOFF_S: Final = 60.0

_NAME = "REST"
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
_BODIES = ("json", "text", "data", "urlencoded")
_INPUTS = {
    "base_url": Input((str,)),
    "url": Input((str,)),
    "path": Input((str,)),
    "method": Input((str,), default="get"),
    "params": Input((dict,)),
    "headers": Input((dict,), default={}),
    "json": Input(ANY),
    "text": Input((str,)),
    "data": Input((str,)),
    "urlencoded": Input((dict,)),
    "username": Input((str,)),
    "password": Input((str,)),
    "timeout": Input((float,), default=60.0, minimum=0.001),
    "expected_status_code": Input((int, list), default=[200, 201, 202, 204]),
    "follow_redirects": Input((bool,), default=True),
    "verify_ssl": Input((bool,), default=True),
    "retries": Input((int,), default=0, minimum=0),
    "retry_backoff": Input((float,), default=1.0, minimum=0),
}


class RestConnector:
    """Inputs:

    - url, or base_url and optionally path; params: object of query arguments
    - method: get (default), post, put, patch, delete, head, options; headers: object
    - at most one body: json (any value but null), text (sent as text/plain), data (text, sent as it is), urlencoded
      (object, sent as a form)
    - username, password: basic authentication
    - timeout: seconds for one attempt with its redirects and its whole response, 60
    - expected_status_code: integer or list, [200, 201, 202, 204]; anything else is an error
    - follow_redirects, verify_ssl: true
    - retries: further attempts after a connection error, a timeout, status 429 or 5xx, 0; retry_backoff: seconds
      before the first of them, doubled each time up to 60, 1

    Output: status_code, headers (names in lower case, several values joined by a comma), cookies, encoding, and json
    for a JSON response or text for any other. A response has at most 16 MiB.

    Every attempt of a request other than GET has the same Idempotency-Key header, unless headers bring one.
    """

    places = frozenset({"base_url", "url", "verify_ssl"})

    async def without_connection(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The controller's own host, and its link, are not the flow's: what listens there trusts who reaches it.

        No redirect is followed, because it could lead there.
        """
        values = checked(_NAME, _INPUTS, inputs)
        if inputs.get("follow_redirects"):
            raise ConnectorError("PermissionDenied", f"{_NAME}: follow_redirects needs a saved connection")
        url = httpx.URL(_url(values))
        try:
            found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port or 80, type=socket.SOCK_STREAM)
        except OSError as error:
            raise refused(f"{_NAME}: {url.host}: {error.strerror or error}") from error
        for *_, (address, *_) in found:
            place = ipaddress.ip_address(str(address).partition("%")[0])
            if place.is_loopback or place.is_link_local or place.is_unspecified or place.is_multicast:
                raise ConnectorError(
                    "PermissionDenied",
                    f"{_NAME}: {url.host} is the controller's own host or link; an operator can allow it by a"
                    " connection: snapctl connection save NAME --type REST -v base_url=...",
                )
        return {**inputs, "follow_redirects": False}

    async def call(self, inputs: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """Raises ConnectorError with status and beginning of the body, or with the words of the failed connection."""
        values = checked(_NAME, _INPUTS, inputs)
        request = _request(values, idempotency_key)
        expected = _expected(values)
        where = f"{request['method'].upper()} {without_credentials(request['url'])}"
        for attempt in range(values["retries"] + 1):
            if attempt:
                await asyncio.sleep(min(values["retry_backoff"] * 2 ** (attempt - 1), MAX_BACKOFF_S))
            last = attempt == values["retries"]
            try:
                async with asyncio.timeout(values["timeout"]):
                    response, body = await _send(request, values)
            except (TimeoutError, httpx.TransportError) as error:
                if last or isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
                    words = _words(error, values["timeout"])
                    raise refused(redact(f"{_NAME}: {where}: {words}{_attempts(attempt)}", inputs)) from None
                continue
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise refused(redact(f"{_NAME}: {where}: {error}", inputs)) from None
            if response.status_code in expected:
                return _output(response, body)
            if last or not _worth_another(response.status_code):
                break
        raise _unexpected(where, response, body, attempt, inputs)


def _request(values: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
    """The keyword arguments of httpx.AsyncClient.build_request."""
    method = values["method"].lower()
    if method not in _METHODS:
        raise invalid(f"{_NAME}: input method must be one of {', '.join(_METHODS)}, not {values['method']!r}")
    headers = httpx.Headers(_texts("headers", values["headers"]))
    if method != "get":
        headers.setdefault("Idempotency-Key", idempotency_key)
    request: dict[str, Any] = {"method": method, "url": _url(values), "headers": headers}
    if values["params"] is not None:
        request["params"] = values["params"]
    body = at_most_one(_NAME, values, _BODIES)
    if body == "json":
        # Encoded here: httpx takes some values, such as {}, for no body.
        request["content"] = json.dumps(values["json"], ensure_ascii=False).encode()
        headers.setdefault("Content-Type", "application/json")
    elif body == "text":
        request["content"] = values["text"].encode()
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
    elif body == "data":
        request["content"] = values["data"].encode()
    elif body == "urlencoded":
        request["data"] = values["urlencoded"]
    return request


def _url(values: dict[str, Any]) -> str:
    url, base, path = values["url"], values["base_url"], values["path"]
    if url is None and base is None:
        raise missing(f"{_NAME}: one of the inputs url, base_url is required")
    if url is None:
        url = base if path is None else f"{base.rstrip('/')}/{path.lstrip('/')}"
    elif path is not None:
        raise invalid(f"{_NAME}: input path goes with base_url; url is a whole address")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        usable = False
    if not usable:
        raise invalid(f"{_NAME}: {without_credentials(url)!r} is no address that starts with http:// or https://")
    return str(url)


def _texts(name: str, values: dict[str, Any]) -> dict[str, str]:
    """Header fields as text. Raises ConnectorError for what can't be sent in one."""
    for key, value in values.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise invalid(f"{_NAME}: {key} in input {name} must be a text or a number")
        # Checked here, because the library's message would show the value.
        if not (key.isascii() and key and str(value).isascii() and (key + str(value)).isprintable()):
            raise invalid(f"{_NAME}: {key!r} in input {name} must be printable ASCII, without line breaks")
    return {key: str(value) for key, value in values.items()}


def _expected(values: dict[str, Any]) -> list[int]:
    given = values["expected_status_code"]
    expected = given if isinstance(given, list) else [given]
    if not all(isinstance(code, int) and not isinstance(code, bool) for code in expected):
        raise invalid(f"{_NAME}: input expected_status_code must be an integer or a list of integers")
    return expected


async def _send(request: dict[str, Any], values: dict[str, Any]) -> tuple[httpx.Response, bytes]:
    # A client for each call: cookies and connections of one flow are no other's business.
    async with httpx.AsyncClient(
        verify=_ssl_context(verify=values["verify_ssl"]),
        follow_redirects=values["follow_redirects"],
        # For each step; the caller limits the attempt as a whole.
        timeout=values["timeout"],
    ) as client:
        auth = None
        if values["username"] is not None or values["password"] is not None:
            auth = httpx.BasicAuth(values["username"] or "", values["password"] or "")
        response = await client.send(client.build_request(**request), auth=auth, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_RESPONSE_BYTES:
                    raise refused(
                        f"{_NAME}: {request['method'].upper()} {without_credentials(request['url'])}: the response is"
                        f" larger than {MAX_RESPONSE_BYTES // 1024**2} MiB; ask for less at once"
                    )
        finally:
            await response.aclose()
    return response, bytes(body)


@functools.cache
def _ssl_context(*, verify: bool) -> ssl.SSLContext:
    """Kept, because loading the certificates takes longer than many a request."""
    return httpx.create_ssl_context(verify=verify)


def _worth_another(status_code: int) -> bool:
    return status_code == httpx.codes.TOO_MANY_REQUESTS or httpx.codes.is_server_error(status_code)


def _attempts(attempt: int) -> str:
    return f" (after {attempt + 1} attempts)" if attempt else ""


def _words(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no complete response within {timeout_s:g} s; the input timeout allows more"
    return str(error) or type(error).__name__


def _unexpected(
    where: str, response: httpx.Response, body: bytes, attempt: int, inputs: dict[str, Any]
) -> ConnectorError:
    # Some servers repeat the request. What was sent holds the password in another form than the inputs do.
    sent = {"inputs": inputs, "authorization": response.request.headers.get("Authorization")}
    # Redacted before it is cut, or half a secret would stay.
    shown = redact(_text(response, body), sent)[:SHOWN_CHARACTERS].strip() or "(empty body)"
    status = f"{response.status_code} {response.reason_phrase}".strip()
    return refused(f"{redact(f'{_NAME}: {where}', inputs)}: status {status}{_attempts(attempt)}: {shown}")


def _text(response: httpx.Response, body: bytes) -> str:
    try:
        return body.decode(response.charset_encoding or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _output(response: httpx.Response, body: bytes) -> dict[str, Any]:
    output: dict[str, Any] = {
        "status_code": response.status_code,
        "headers": dict(response.headers),
        "cookies": {cookie.name: cookie.value for cookie in response.cookies.jar},
        "encoding": response.charset_encoding or "utf-8",
    }
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return {**output, "json": json.loads(body)}
        except ValueError:
            # Called JSON and isn't, often an empty body: the flow gets what there is.
            pass
    return {**output, "text": _text(response, body)}
