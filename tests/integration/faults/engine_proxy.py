"""A Docker engine that can be told to answer 500, or not at all: a proxy before the real one's socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

ENGINE = "/var/run/docker.sock"
Mode = Literal["pass", "500", "hang"]

_WORDS = b'{"message": "the engine is out of order"}'
_REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\n"
_REFUSAL += b"Content-Length: %d\r\n\r\n%s" % (len(_WORDS), _WORDS)


class EngineProxy:
    """Thread per direction of a connection. A change of mode ends the connections that there are, but for a hang."""

    def __init__(self, path: Path) -> None:
        self._mode: Mode = "pass"
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def be(self, mode: Mode) -> None:
        with self._lock:
            self._mode = mode
            if mode == "hang":
                self._flowing.clear()
                return
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._flowing.set()

    def close(self) -> None:
        self.be("pass")
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, self._known(client):
            self._flowing.wait()
            if self._mode == "500":
                with contextlib.suppress(OSError):
                    client.recv(65536)
                    client.sendall(_REFUSAL)
                return
            with socket.socket(socket.AF_UNIX) as engine, self._known(engine):
                engine.connect(ENGINE)
                back = threading.Thread(target=self._copy, args=(engine, client), daemon=True)
                back.start()
                self._copy(client, engine)
                back.join()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _known(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)
