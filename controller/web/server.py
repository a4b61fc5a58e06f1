"""The HTTP server: binds its address at the start, and ends with the controller."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from controller.errors import InvalidArgument, Unavailable

_GRACE_S = 2
_BACKLOG = 128


class _Server(uvicorn.Server):
    """Leaves the signals to the controller."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves one application on host:port; port 0 takes a free one."""

    def __init__(self, app: ASGIApp | Starlette) -> None:
        config = uvicorn.Config(
            app,
            # Addresses may hold keys; what a webhook started is in the controller's own log.
            access_log=False,
            log_config=None,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = _Server(config)
        self._listening: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None
        self.address = ""

    async def bind(self, listen: str) -> None:
        """Take the address; requests wait until serve(). Raises InvalidArgument for one that is none, Unavailable."""
        host, port = _parsed(listen)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, address = found[0]
            listening = socket.socket(family, kind, protocol)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError as error:
            raise Unavailable(
                f"the HTTP address {listen} can't be listened on: {error.strerror or error}; another controller may"
                " have it: name another by `snapctl up -- --http-listen HOST:PORT` (port 0 takes a free one), or switch"
                " HTTP off by `--http-listen off`"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{listening.getsockname()[1]}"
        self._listening = listening

    def serve(self) -> None:
        """From now on requests are answered."""
        if self._listening is not None:
            self._serving = asyncio.create_task(self._server.serve([self._listening]), name="HTTP server")

    async def stop(self) -> None:
        """Requests under way have a moment to end."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving


def _parsed(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - what TCP has
        raise InvalidArgument(f"the HTTP address {listen!r} is not HOST:PORT; write for example 127.0.0.1:7117")
    return host, int(port)
