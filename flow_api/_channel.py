"""The two pipes to the agent: a call is a frame out and a frame back, from any thread.

There is no thread of its own for reading: of the threads that wait for replies one reads, and hands the others theirs.
A thread more would be there in every savepoint.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading

from flow_api import exceptions
from flow_api._reseed import reseed

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any

_LENGTHS = struct.Struct("<II")
_REPLY_FD = 100
_CALL_FD = 101
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


# Where a thread speaks for somebody else's code: its file, line and function.
_speaker = threading.local()


def speaking_from(file: str, line: int, function: str) -> None:
    """Calls of this thread show that place from now on, and not the one in the script that makes them."""
    _speaker.place = (file, line, function)


class Channel:
    """One per process tree."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._seq = 0
        self._writing = threading.Lock()
        self._waiting = threading.Condition(threading.Lock())
        self._someone_reads = False
        self._replies: dict[int, tuple[dict[str, Any], bytes]] = {}
        # How the execution came here, as the newest reply had it. Not part of the restored state.
        self.restored: dict[str, Any] | None = None
        # The fork for which this process has seeded its random numbers. It is part of the restored state.
        self._seeded_for = ""
        self._seeding = threading.Lock()

    def call(self, name: str, arguments: dict[str, Any], *, ordered: bool = False) -> Any:
        """Carry out one call of the Flow-API. Blocks this thread; raises what the platform raised.

        ordered: not before its savepoint is committed.
        """
        try:
            body = json.dumps(arguments, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise exceptions.InvalidInputError(f"{name}: its arguments can't be written as JSON: {error}") from error
        if os.getpid() != self._pid:
            raise exceptions.InternalError(f"{name}: only the flow's first process can call the Flow-API, not a child")
        file, line, function = _place()
        with self._writing:
            self._seq += 1
            seq = self._seq
            header = {"seq": seq, "name": name, "file": file, "line": line, "function": function, "ordered": ordered}
            _write_frame(header, body)
        reply, value = self._await_reply(seq)
        self.restored = reply["restored"]
        if self.restored is not None:
            self._seed_in_fork(self.restored)
        refusal = reply.get("error")
        if refusal is not None:
            raise exceptions.by_name(refusal["type"], refusal["message"])
        return json.loads(value)

    def first_frame(self) -> dict[str, Any]:
        """What to run."""
        header, _ = _read_frame()
        return header

    def say_end(self, header: dict[str, Any]) -> None:
        """The last frame: how the handler ended. A forked child that fell out of the handler has no say in it."""
        if os.getpid() == self._pid:
            with self._writing:
                _write_frame(header, b"")

    def _seed_in_fork(self, restored: dict[str, Any]) -> None:
        """Before any call of a new fork returns: its random numbers are not to be the original's."""
        fork = restored.get("fork")
        if fork is None or fork == self._seeded_for:
            return
        with self._seeding:
            if fork != self._seeded_for:
                reseed()
                self._seeded_for = fork

    def _await_reply(self, seq: int) -> tuple[dict[str, Any], bytes]:
        while True:
            with self._waiting:
                while self._someone_reads and seq not in self._replies:
                    self._waiting.wait()
                if seq in self._replies:
                    return self._replies.pop(seq)
                self._someone_reads = True
            try:
                header, body = _read_frame()
            finally:
                with self._waiting:
                    self._someone_reads = False
                    self._waiting.notify_all()
            with self._waiting:
                self._replies[header["seq"]] = (header, body)
                self._waiting.notify_all()


def _place() -> tuple[str, int, str]:
    """File, line and function of the script's own code that is calling."""
    place: tuple[str, int, str] | None = getattr(_speaker, "place", None)
    if place is not None:
        return place
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to one's caller
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname


def _write_frame(header: dict[str, Any], body: bytes) -> None:
    head = json.dumps(header, separators=(",", ":")).encode()
    data = memoryview(_LENGTHS.pack(4 + len(head) + len(body), len(head)) + head + body)
    while data:
        data = data[os.write(_CALL_FD, data) :]


def _read_frame() -> tuple[dict[str, Any], bytes]:
    length, head_length = _LENGTHS.unpack(_read_exactly(_LENGTHS.size))
    rest = _read_exactly(length - 4)
    return json.loads(rest[:head_length]), rest[head_length:]


def _read_exactly(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(_REPLY_FD, min(size, 1 << 20))
        if not part:
            # The agent is gone, and with it the container in a moment.
            os._exit(1)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
