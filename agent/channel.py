"""The flow's end of the line: two pipes with frames of calls and replies, and the exact state of both at a dump.

A frame is `u32 length of all that follows | u32 length of the header | header, JSON | body, JSON`, little endian. The
body (arguments, or a result) passes through the agent unread.

A call's header:  {"seq", "name", "file", "line", "function", "ordered"} or {"end": "returned" | "raised", "error"}; the
agent itself says {"end": "broken"} of a channel that carries something else.
A reply's header: {"seq", "restored"} with the result as body, or {"seq", "restored", "error": {"type", "message"}}.
"""

from __future__ import annotations

import array
import asyncio
import base64
import fcntl
import json
import os
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.pipes import Pipes

_LENGTHS = struct.Struct("<II")
_PIPE_BYTES = 65536
_READ_BYTES = 1 << 18
# A frame with a value of the largest size that the controller may allow, and its header; a gRPC message takes more.
_MAX_FRAME_BYTES = 48 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came."""

    header: dict[str, Any]
    body: bytes


@dataclass(frozen=True, slots=True)
class InFlight:
    """Bytes between the flow and the agent at the instant of a dump."""

    unparsed: bytes = b""  # the beginning of a frame that the flow was writing
    undelivered: bytes = b""  # replies that the flow had not read to their end

    def to_json(self) -> dict[str, str]:
        return {
            "unparsed": base64.b64encode(self.unparsed).decode(),
            "undelivered": base64.b64encode(self.undelivered).decode(),
        }

    @classmethod
    def from_json(cls, value: dict[str, str]) -> InFlight:
        return cls(base64.b64decode(value["unparsed"]), base64.b64decode(value["undelivered"]))


def encode(header: dict[str, Any], body: bytes) -> bytes:
    """One frame."""
    head = json.dumps(header, separators=(",", ":")).encode()
    return _LENGTHS.pack(4 + len(head) + len(body), len(head)) + head + body


class Channel:
    """Reads frames from the flow and writes replies, from the event loop alone."""

    def __init__(self, pipes: Pipes, on_frame: Callable[[Frame], None], in_flight: InFlight | None = None) -> None:
        self.pipes = pipes
        self._on_frame = on_frame
        self._incoming = bytearray(in_flight.unparsed if in_flight else b"")
        self._outgoing = bytearray(in_flight.undelivered if in_flight else b"")
        # What the flow may not have read yet is among the last bytes written: a pipe holds no more.
        self._written = bytearray()
        self._loop = asyncio.get_running_loop()
        self._writing = False
        self._open = True

    def start(self) -> None:
        self._loop.add_reader(self.pipes.ours_calls, self._read)
        self._write()

    def close(self) -> None:
        """Stop and close the agent's ends of calls and replies."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self.pipes.ours_calls)
            self._loop.remove_writer(self.pipes.ours_replies)
            os.close(self.pipes.ours_calls)
            os.close(self.pipes.ours_replies)

    def send(self, header: dict[str, Any], body: bytes) -> None:
        """Queue a reply; it is written as fast as the flow reads."""
        self._outgoing += encode(header, body)
        self._write()

    def in_flight(self) -> InFlight:
        """What is between the two sides. Exact when the tree stands still: takes in all that it wrote first."""
        self._read()
        unread = array.array("i", [0])
        fcntl.ioctl(self.pipes.ours_replies, termios.FIONREAD, unread)
        delivered = bytes(self._written[len(self._written) - unread[0] :])
        return InFlight(bytes(self._incoming), delivered + bytes(self._outgoing))

    def drain(self) -> None:
        """Take in what a flow that has ended left in the pipe."""
        if self._open:
            self._read()

    def _read(self) -> None:
        while self._open:
            try:
                part = os.read(self.pipes.ours_calls, _READ_BYTES)
            except BlockingIOError:
                break
            if not part:
                self._loop.remove_reader(self.pipes.ours_calls)
                break
            self._incoming += part
        while (frame := self._next()) is not None:
            self._on_frame(frame)

    def _next(self) -> Frame | None:
        if len(self._incoming) < _LENGTHS.size:
            return None
        length, head_length = _LENGTHS.unpack_from(self._incoming)
        if not 4 + head_length <= length <= _MAX_FRAME_BYTES:
            return self._give_up()
        if len(self._incoming) < 4 + length:
            return None
        body_at = _LENGTHS.size + head_length
        head = bytes(self._incoming[_LENGTHS.size : body_at])
        body = bytes(self._incoming[body_at : 4 + length])
        del self._incoming[: 4 + length]
        try:
            header = json.loads(head)
        except (ValueError, RecursionError):
            return self._give_up()
        return Frame(header, body) if isinstance(header, dict) else self._give_up()

    def _give_up(self) -> Frame:
        """Only code that writes to the descriptor past flow_api gets here; there is no way back into step."""
        self._incoming.clear()
        self._loop.remove_reader(self.pipes.ours_calls)
        return Frame({"end": "broken", "error": "the flow broke the channel to its agent"}, b"")

    def _write(self) -> None:
        while self._outgoing and self._open:
            try:
                count = os.write(self.pipes.ours_replies, memoryview(self._outgoing)[:_PIPE_BYTES])
            except BlockingIOError:
                break
            except BrokenPipeError:  # the flow is gone; its end is told elsewhere
                self._outgoing.clear()
                break
            self._written += self._outgoing[:count]
            del self._written[: max(0, len(self._written) - _PIPE_BYTES)]
            del self._outgoing[:count]
        wants = bool(self._outgoing) and self._open
        if wants and not self._writing:
            self._loop.add_writer(self.pipes.ours_replies, self._write)
        elif not wants and self._writing and self._open:
            self._loop.remove_writer(self.pipes.ours_replies)
        self._writing = wants
