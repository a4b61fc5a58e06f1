"""One HTTP exchange, for the connectors that are made of them."""

from __future__ import annotations

import functools
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from controller.connectors.errors import invalid, refused
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
    """
    # A client for each call: cookies and connections of one flow are no other's business.
    client = httpx.AsyncClient(
        verify=_ssl_context(verify=verify),
        follow_redirects=follow_redirects,
        # For each step; the guard limits the attempt as a whole.
        timeout=timeout_s,
    )
    try:
        async with client:
            response = await client.send(client.build_request(**request), auth=auth, stream=True)
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


def header_texts(values: dict[str, Any]) -> dict[str, str]:
    """Header fields as text. Raises ConnectorError for what can't be sent in one."""
    for key, value in values.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise invalid(f"{key} in input headers must be a text or a number")
        # Checked here, because the library's message would show the value.
        if not (key.isascii() and key and str(value).isascii() and (key + str(value)).isprintable()):
            raise invalid(f"{key!r} in input headers must be printable ASCII, without line breaks")
    return {key: str(value) for key, value in values.items()}


@functools.cache
def _ssl_context(*, verify: bool) -> ssl.SSLContext:
    """Kept, because loading the certificates takes longer than many a request."""
    return httpx.create_ssl_context(verify=verify)
