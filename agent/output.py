"""The flow's stdout and stderr as log lines, in batches, with back pressure: a flood slows the flow, not the agent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Awaitable, Callable

from flowsnap.v1 import agent_pb2 as pb
from flowsnap.v1 import types_pb2

from agent.errors import AgentError

_READ_BYTES = 65536
# A line longer than this is cut into several.
_LINE_BYTES = 16384
_PENDING_LINES = 5000
_BATCH_LINES = 500
_GATHER_S = 0.02


class Output:
    """Reads pipes and hands lines to the controller in order."""

    def __init__(self, append: Callable[[pb.AppendLogRequest], Awaitable[None]]) -> None:
        self._append = append
        self._lines: list[types_pb2.LogLine] = []
        self._partial: dict[int, bytearray] = {}
        self._streams: dict[int, str] = {}
        self._paused: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.create_task(self._pump())

    def follow(self, fd: int, stream: str) -> None:
        """Take over a pipe; it is closed at its end."""
        self._streams[fd] = stream
        self._partial[fd] = bytearray()
        self._loop.add_reader(fd, self._read, fd)

    def forget(self, fd: int) -> None:
        """Take in what is there and close the pipe."""
        if fd in self._streams:
            self._read(fd)
        if fd in self._streams:
            self._finish(fd)

    def say(self, text: str) -> None:
        """A line of the platform's own."""
        self._add("system", text)

    async def flush(self) -> None:
        """Everything that the flow has written by now is with the controller."""
        for fd in list(self._streams):
            self._read(fd)
        self._urgent.set()
        await self._idle.wait()
        self._urgent.clear()

    def _read(self, fd: int) -> None:
        while fd in self._streams:
            if len(self._lines) > _PENDING_LINES:
                self._loop.remove_reader(fd)
                self._paused.add(fd)
                return
            try:
                part = os.read(fd, _READ_BYTES)
            except BlockingIOError:
                return
            if not part:
                self._finish(fd)
                return
            self._split(fd, part)

    def _split(self, fd: int, part: bytes) -> None:
        partial = self._partial[fd]
        partial += part
        *whole, rest = partial.split(b"\n")
        for line in whole:
            for at in range(0, max(len(line), 1), _LINE_BYTES):
                self._add(self._streams[fd], line[at : at + _LINE_BYTES].decode(errors="replace"))
        while len(rest) > _LINE_BYTES:
            self._add(self._streams[fd], rest[:_LINE_BYTES].decode(errors="replace"))
            rest = rest[_LINE_BYTES:]
        self._partial[fd] = bytearray(rest)

    def _finish(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        self._paused.discard(fd)
        stream = self._streams.pop(fd)
        rest = self._partial.pop(fd)
        if rest:
            self._add(stream, rest.decode(errors="replace"))
        with contextlib.suppress(OSError):
            os.close(fd)

    def _add(self, stream: str, text: str) -> None:
        line = types_pb2.LogLine(stream=stream, text=text)
        line.time.FromNanoseconds(time.time_ns())
        self._lines.append(line)
        self._idle.clear()
        self._wake.set()

    async def _pump(self) -> None:
        while True:
            await self._wake.wait()
            if len(self._lines) < _BATCH_LINES:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._urgent.wait(), _GATHER_S)
            batch, self._lines = self._lines[:_BATCH_LINES], self._lines[_BATCH_LINES:]
            if not self._lines:
                self._wake.clear()
            try:
                await self._append(pb.AppendLogRequest(lines=batch))
            except AgentError as error:
                # Refused for good: these lines are lost, those that follow must not be.
                sys.stderr.write(f"flowsnap agent: {len(batch)} log lines were refused: {error}\n")
            if not self._lines:
                self._idle.set()
            self._resume()

    def _resume(self) -> None:
        if self._paused and len(self._lines) < _PENDING_LINES // 2:
            for fd in list(self._paused):
                self._paused.discard(fd)
                self._loop.add_reader(fd, self._read, fd)
