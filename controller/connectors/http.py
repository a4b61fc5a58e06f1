"""One HTTP exchange, for the connectors that are made of them."""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import httpx

from controller.connectors.errors import ConnectorError, invalid, refused
from controller.connectors.reach import address_of, judge, led_by_flow
from controller.redaction import without_credentials

MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024


async def exchange(
    request: dict[str, Any],
    where: str,
    *,
    auth: httpx.Auth | None,
    timeout_s: float,
    verify: bool,
    follow_redirects: bool = True,
) -> tuple[httpx.Response, bytes]:
    """Send what httpx.AsyncClient.build_request takes; the response, whatever its status, and its body.

    where: the request in words, for errors. Raises ConnectorError; transient for what the network may do better.
    Where a flow leads the call no redirect is followed; elsewhere none to the controller's own host, unless it begins
    there.
    """
    # A client for each call: cookies and connections of one flow are no other's business.
    client = httpx.AsyncClient(
        verify=_ssl_context(verify=verify),
        follow_redirects=follow_redirects and not led_by_flow(),
        event_hooks={"request": [_redirects(host_of(request["url"]))]},
        # For each step; the guard limits the attempt as a whole.
        timeout=timeout_s,
    )
    try:
        async with client:
            response = await client.send(client.build_request(**_to_address(request)), auth=auth, stream=True)
            try:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_RESPONSE_BYTES:
                        raise refused(
                            f"{where}: the response is larger than {MAX_RESPONSE_BYTES // 1024**2} MiB; ask for less"
                            " at once"
                        )
            finally:
                await response.aclose()
    except httpx.TimeoutException as error:
        late = f"no complete response within {timeout_s:g} s; the input timeout allows more"
        raise refused(where, late, transient=True) from error
    except httpx.TransportError as error:
        hopeless = isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)
        raise refused(where, str(error) or type(error).__name__, transient=not hopeless) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise refused(where, str(error)) from error
    return response, bytes(body)


def usable_url(url: str) -> str:
    """The address itself. Raises ConnectorError for one that is not of HTTP."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        usable = None
    if not usable:
        raise invalid(f"{without_credentials(url)!r} is no address that starts with http:// or https://")
    return url


def host_of(url: str) -> str:
    """The host of an HTTP address. Raises ConnectorError as usable_url."""
    try:
        host = httpx.URL(usable_url(url)).raw_host.decode()
    except (httpx.InvalidURL, ValueError) as error:
        raise invalid(f"{without_credentials(url)!r} is no address: {error}") from error
    if not host:
        raise invalid(f"{without_credentials(url)!r} has no host")
    return host


def stays_below(path: str, name: str) -> str:
    """A path that is added to an address. Raises ConnectorError for one that leads up and out of there."""
    if ".." in re.split(r"[/\\]", unquote(re.split("[?#]", path)[0])):
        raise invalid(f"input {name} must not have .. in it")
    return path


def _to_address(request: dict[str, Any]) -> dict[str, Any]:
    """The request to the address that was judged for its host; certificates are still checked for the host."""
    url = httpx.URL(request["url"])
    host = url.raw_host.decode()
    address = address_of(host)
    if address == host:
        return request
    return {
        **request,
        "url": url.copy_with(host=address),
        "headers": {**(request.get("headers") or {}), "Host": url.netloc.decode()},
        "extensions": {"sni_hostname": host},
    }


def _redirects(first: str) -> Callable[[httpx.Request], Awaitable[None]]:
    """A hook that judges where a server that an operator chose sends on to."""

    async def check(request: httpx.Request) -> None:
        host = request.url.raw_host.decode()
        if host == first or led_by_flow():
            return
        try:
            await judge([host])
        except ConnectorError as error:
            words = f"{first} redirects to {host}: {error.message}"
            raise ConnectorError(error.error_type, words, detail=error.detail, transient=error.transient) from error

    return check


def header_texts(values: dict[str, Any]) -> dict[str, str]:
    """Header fields as text. Raises ConnectorError for what can't be sent in one."""
    for key, value in values.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise invalid(f"{key} in input headers must be a text or a number")
        # Checked here, because the library's message would show the value.
        if key.lower() == "host":
            raise invalid("Host in input headers comes from the address, and can't be another")
        if not (key.isascii() and key and str(value).isascii() and (key + str(value)).isprintable()):
            raise invalid(f"{key!r} in input headers must be printable ASCII, without line breaks")
    return {key: str(value) for key, value in values.items()}


@functools.cache
def _ssl_context(*, verify: bool) -> ssl.SSLContext:
    """Kept, because loading the certificates takes longer than many a request."""
    return httpx.create_ssl_context(verify=verify)
