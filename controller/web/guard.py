"""What stands before every page: the Host that is asked for, the session, the CSRF token, and the answers' headers.

The webhooks have keys of their own and are called under whatever name; they pass.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.sessions import Sessions

LARGEST_FORM_BYTES = 32 * 1024 * 1024
LARGEST_LOGIN_BYTES = 4096
MOST_FIELDS = 2000
MOST_FILES = 1100
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
LOGIN = "/login"

_OPEN = (LOGIN, "/static/")
_SAFE = frozenset({"GET", "HEAD"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that browsers say "null" where the origin of a form is checked.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def csrf_token(session_token: str) -> str:
    """Of a session: what its forms carry. It can't be told from the cookie's hash, nor the cookie from it."""
    return hmac.new(session_token.encode(), b"csrf", hashlib.sha256).hexdigest()


class Guard:
    """Lets through what is signed in and meant. request.state then has session, csrf, and form and files with a POST.

    form: pairs of name and text; files: name, file name (with folders where one was chosen) and content of each.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, listen: str, hosts: Sequence[str], unguarded: str) -> None:
        self._app = app
        self._sessions = sessions
        self._hosts = {host.lower() for host in (*hosts, "localhost", listen.rpartition(":")[0])}
        self._unguarded = unguarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(self._unguarded):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        refusal = await self._refusal(request)
        await (refusal or self._app)(scope, receive, send_with_headers)

    async def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not self._known(host):
            words = (
                f"the page is not known as {host!r}; use its address or localhost, or start the controller with"
                " --http-host NAME"
            )
            return PlainTextResponse(words, 421)
        is_open = request.url.path.startswith(_OPEN)
        session = request.cookies.get(cookie_name(request), "")
        request.state.session = session if session and await self._sessions.known(session) else ""
        request.state.csrf = csrf_token(request.state.session) if request.state.session else ""
        if not request.state.session and not is_open:
            return _sign_in(request)
        return None if request.method in _SAFE else await self._unmeant(request, is_open=is_open)

    async def _unmeant(self, request: Request, *, is_open: bool) -> Response | None:
        """Reads the form of what changes something, unless somebody else's page sent it."""
        if not _from_here(request):
            return PlainTextResponse("this request comes from another site", 403)
        limit = LARGEST_LOGIN_BYTES if is_open else LARGEST_FORM_BYTES
        request.state.form, request.state.files = [], []
        try:
            await _read(request, limit)
        except _UnreadError as error:
            return PlainTextResponse(error.words, error.status)
        except (ValueError, MultiPartException) as error:
            return PlainTextResponse(f"the form can't be read: {error}", 400)
        given = request.headers.get(CSRF_HEADER) or dict(request.state.form).get(CSRF_FIELD, "")
        if not is_open and not hmac.compare_digest(given.encode(), request.state.csrf.encode()):
            return PlainTextResponse("the form's CSRF token is missing or old; load the page anew", 403)
        return None

    def _known(self, host: str) -> bool:
        """A name that somebody else's DNS may point here is none of ours; an address can't be pointed elsewhere."""
        name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower() in self._hosts and bool(name)
        return True


def cookie_name(request: Request) -> str:
    """With the port: cookies don't tell ports apart, and several controllers may run on one host."""
    return f"flowsnap_{request.url.port or 80}"


def _sign_in(request: Request) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": LOGIN})
    if request.headers.get("accept", "").startswith("text/event-stream"):
        return Response(status_code=401)
    return RedirectResponse(LOGIN, 303)


def _from_here(request: Request) -> bool:
    """What browsers say of the page that a request comes from; old ones say nothing, the CSRF token counts then."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    return origin in {None, f"{request.url.scheme}://{request.headers.get('host')}"} and site in {"same-origin", "none"}


class _UnreadError(Exception):
    """The form is none that is read."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


async def _read(request: Request, limit: int) -> None:
    """Raises _UnreadError, ValueError, MultiPartException."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        parser = MultiPartParser(
            request.headers, _limited(request, limit), max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=limit
        )
        for name, value in (await parser.parse()).multi_items():
            if isinstance(value, UploadFile):
                request.state.files.append((name, value.filename or "", await value.read()))
                await value.close()
            else:
                request.state.form.append((name, value))
        return
    content = b"".join([part async for part in _limited(request, limit)])
    if content and kind != "application/x-www-form-urlencoded":
        words = "forms are sent as application/x-www-form-urlencoded or multipart/form-data"
        raise _UnreadError(415, words)
    request.state.form += parse_qsl(
        content.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
    )


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _UnreadError(413, f"the form has more than {limit} bytes, the limit")
        yield part
