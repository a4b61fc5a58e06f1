"""A network of the browser's own.

Chromium gives its requests up (ERR_NETWORK_CHANGED) whenever an interface of the host comes or goes, and each container
has one. In a namespace without any but loopback nothing changes; its ports are led to the host's.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import socket
import struct
import threading
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_PART_BYTES = 65536


class QuietNetwork:
    """One namespace, as long as this process has it open."""

    def __init__(self) -> None:
        self._namespace = _in_thread(_new_namespace)
        self._ports: set[int] = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def program(self, path: str, folder: Path) -> Path:
        """A script that runs the program inside."""
        script = folder / "inside"
        script.write_text(f'#!/bin/sh\nexec nsenter --net=/proc/{os.getpid()}/fd/{self._namespace} {path} "$@"\n')
        script.chmod(0o755)
        return script

    def lead(self, port: int) -> None:
        """127.0.0.1:port inside is the host's from now on."""
        if port not in self._ports:
            self._ports.add(port)
            listening = _in_thread(lambda: self._listening(port))
            asyncio.run_coroutine_threadsafe(self._serve(listening, port), self._loop).result(10)

    def _listening(self, port: int) -> socket.socket:
        if _libc.setns(self._namespace, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        return socket.create_server(("127.0.0.1", port))

    async def _serve(self, listening: socket.socket, port: int) -> None:
        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

        await asyncio.start_server(pass_on, sock=listening)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while part := await reader.read(_PART_BYTES):
            writer.write(part)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def _new_namespace() -> int:
    """A descriptor of it; its loopback is up."""
    if _libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare needs root")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _in_thread(work):
    """A thread's namespace is its own: it goes with the thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


_libc = ctypes.CDLL(None, use_errno=True)
