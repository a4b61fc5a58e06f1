"""The REST connector: one HTTP request, and its response as JSON, text or bytes."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final

import httpx

from controller.connectors.contents import in_base64, to_bytes
from controller.connectors.errors import ConnectorError, invalid, missing, refused
from controller.connectors.http import exchange, header_texts, host_of, stays_below, usable_url
from controller.connectors.inputs import ANY, ATTEMPTS, Input, Inputs, at_most_one, login
from controller.connectors.reach import denied
from controller.redaction import without_credentials

METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")

_BODIES = ("json", "text", "xml", "data", "urlencoded", "multipart")
# Whatever a server says to an address that it does not serve, it is there and let us in.
_REACHED = [status for status in range(200, 500) if status not in {401, 403, 407}]
_MAX_WAIT_S = 3600.0


class RestConnector:
    """Output: status_code, headers (names in lower case, several values joined by a comma), cookies, encoding, and
    json for a JSON response, text for any other, or with binary its content. A response has at most 16 MiB.

    Every attempt of a request other than GET has the same Idempotency-Key header, unless headers bring one.
    """

    summary = "An HTTP request"
    inputs: ClassVar[Inputs] = {
        "url": Input((str,), "the whole address; or give base_url", place=True),
        "base_url": Input((str,), "the address to which path is added", place=True),
        "path": Input((str,), "what follows base_url"),
        "method": Input((str,), ", ".join(METHODS), default="get"),
        "params": Input((dict,), "arguments in the address: an object"),
        "headers": Input((dict,), "an object of texts", default={}),
        "json": Input(ANY, "body: any value but null"),
        "text": Input((str,), "body: sent as text/plain"),
        "xml": Input((str,), "body: sent as application/xml"),
        "data": Input((str, dict), 'body: a text or {"base64": "..."}, sent as it is'),
        "urlencoded": Input((dict,), "body: an object, sent as a form"),
        "multipart": Input(
            (dict,), 'body: an object of texts and of {"content", "file_name", "content_type"}, sent as a form'
        ),
        **login(username="user name for basic authentication"),
        "expected_status_code": Input(
            (int, list), "an integer or a list of them; anything else is an error", default=[200, 201, 202, 204]
        ),
        "binary": Input((bool,), 'the response comes as content, {"base64": "..."}', default=False),
        "follow_redirects": Input(
            (bool,),
            "go where a redirect points to; without a connection false, otherwise true; false is for flows, too",
            place=True,
            harmless=(False,),
        ),
        "verify_ssl": Input((bool,), "check the server's certificate", default=True, place=True),
        "timeout": Input((float,), "seconds for one attempt with its redirects", default=60.0, minimum=0.001),
        "retries": Input(
            (int,),
            "further attempts after a connection error, a timeout, status 429 or 5xx",
            default=0,
            minimum=0,
        ),
        "retry_backoff": ATTEMPTS["retry_backoff"],
    }
    probe: ClassVar[dict[str, Any]] = {"method": "get", "expected_status_code": _REACHED}
    # Whoever asks for retries has a server that can take them; the Idempotency-Key helps it.
    repeatable = True

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server; those that it redirects to nobody knows before."""
        if values["follow_redirects"]:
            raise denied("a flow can't choose to follow redirects")
        return [host_of(_url(values))]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """Raises ConnectorError with status and beginning of the body, or with the words of the failed connection."""
        expected = _expected(values["expected_status_code"])
        request = _request(values, idempotency_key)
        where = f"{request['method'].upper()} {without_credentials(request['url'])}"
        auth = None
        if values["username"] is not None or values["password"] is not None:
            auth = httpx.BasicAuth(values["username"] or "", values["password"] or "")
        response, body = await exchange(
            request,
            where,
            auth=auth,
            timeout_s=values["timeout"],
            verify=values["verify_ssl"],
            follow_redirects=values["follow_redirects"] is not False,
        )
        if response.status_code not in expected:
            raise _unexpected(where, response, body)
        return _output(response, body, binary=values["binary"])


def _request(values: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
    """The keyword arguments of httpx.AsyncClient.build_request."""
    method = values["method"].lower()
    if method not in METHODS:
        raise invalid(f"input method must be one of {', '.join(METHODS)}, not {values['method']!r}")
    headers = httpx.Headers(header_texts(values["headers"]))
    if method != "get":
        headers.setdefault("Idempotency-Key", idempotency_key)
    request: dict[str, Any] = {"method": method, "url": _url(values), "headers": headers}
    if values["params"] is not None:
        request["params"] = values["params"]
    match at_most_one(values, _BODIES):
        case "json":
            # Encoded here: httpx takes some values, such as {}, for no body.
            request["content"] = json.dumps(values["json"], ensure_ascii=False).encode()
            headers.setdefault("Content-Type", "application/json")
        case "text":
            request["content"] = values["text"].encode()
            headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        case "xml":
            request["content"] = values["xml"].encode()
            headers.setdefault("Content-Type", "application/xml; charset=utf-8")
        case "data":
            request["content"] = to_bytes(values["data"], "data")
        case "urlencoded":
            request["data"] = values["urlencoded"]
        case "multipart":
            request["files"] = [(name, _part(name, part)) for name, part in values["multipart"].items()]
    return request


def _part(name: str, part: Any) -> tuple[str | None, bytes, str | None]:
    """One field of a multipart form, as httpx takes it."""
    if isinstance(part, str | int | float) and not isinstance(part, bool):
        return None, str(part).encode(), None
    if not isinstance(part, dict) or not set(part) <= {"content", "file_name", "content_type"} or "content" not in part:
        raise invalid(f"{name} in input multipart must be a text or an object of content, file_name and content_type")
    content = to_bytes(part["content"], f"multipart, {name}")
    return part.get("file_name"), content, part.get("content_type")


def _url(values: dict[str, Any]) -> str:
    url, base, path = values["url"], values["base_url"], values["path"]
    if url is None and base is None:
        raise missing("one of the inputs url, base_url is required")
    if url is None:
        url = base if path is None else f"{base.rstrip('/')}/{stays_below(path, 'path').lstrip('/')}"
    elif path is not None:
        raise invalid("input path goes with base_url; url is a whole address")
    return usable_url(url)


def _expected(given: Any) -> list[int]:
    expected = given if isinstance(given, list) else [given]
    if not all(isinstance(code, int) and not isinstance(code, bool) for code in expected):
        raise invalid("input expected_status_code must be an integer or a list of integers")
    return expected


def _unexpected(where: str, response: httpx.Response, body: bytes) -> ConnectorError:
    status = f"{response.status_code} {response.reason_phrase}".strip()
    busy = response.status_code == httpx.codes.TOO_MANY_REQUESTS or httpx.codes.is_server_error(response.status_code)
    return refused(
        f"{where}: status {status}",
        _text(response, body).strip() or "(empty body)",
        transient=busy,
        after_s=_retry_after_s(response),
    )


def _retry_after_s(response: httpx.Response) -> float:
    """What the server asks for in seconds; a date there is as good as nothing, since its clock is its own."""
    try:
        return min(max(float(response.headers.get("Retry-After", "0")), 0.0), _MAX_WAIT_S)
    except ValueError:
        return 0.0


def _text(response: httpx.Response, body: bytes) -> str:
    try:
        return body.decode(response.charset_encoding or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _output(response: httpx.Response, body: bytes, *, binary: bool) -> dict[str, Any]:
    output: dict[str, Any] = {
        "status_code": response.status_code,
        "headers": dict(response.headers),
        "cookies": {cookie.name: cookie.value for cookie in response.cookies.jar},
        "encoding": response.charset_encoding or "utf-8",
    }
    if binary:
        return {**output, "content": in_base64(body)}
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return {**output, "json": json.loads(body)}
        except ValueError:
            # Called JSON and isn't, often an empty body: the flow gets what there is.
            pass
    return {**output, "text": _text(response, body)}
