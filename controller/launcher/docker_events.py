"""One thread that follows the engine's events and wakes whoever waits for one of our containers."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from docker import APIClient

from controller.launcher.docker_container import EXECUTION_LABEL
from controller.launcher.docker_errors import DOCKER_ERRORS

RECONNECT_S = 1.0

_log = logging.getLogger(__name__)

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


@dataclass(slots=True)
class Seen:
    """What events told of an execution's container; container_id is empty for one that was there before."""

    container_id: str
    exit_status: int | None = None
    oom: bool = False
    engine_away: bool = False  # since somebody saw that it runs


class DockerEvents:
    """Ends and OOM kills of the containers that it was asked to follow, until they are forgotten.

    Events are lost while the engine is away. So they only wake: who waits looks at the container itself, also after
    each new connection.
    """

    def __init__(self, connect: Callable[[], APIClient], label: str) -> None:
        self._connect = connect
        self._filters = {"type": "container", "event": ["die", "oom", "destroy"], "label": label}
        self._lock = threading.Lock()
        self._waiters: dict[str, set[_Waiter]] = {}
        self._seen: dict[str, Seen] = {}
        self._closing = threading.Event()
        self._stream: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow; does nothing the second time."""
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="docker-events", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread. Blocks for at most as long as a connection attempt takes."""
        with self._lock:
            self._closing.set()
            stream, thread = self._stream, self._thread
        if stream is not None:
            # The engine may have closed it in the same moment.
            with suppress(OSError):
                stream.close()
        if thread is not None:
            thread.join()

    @contextmanager
    def watching(self, execution_id: str) -> Iterator[asyncio.Future[None]]:
        """A future of the running loop that is done when something may have happened to the container."""
        loop = asyncio.get_running_loop()
        waiter = (loop, loop.create_future())
        with self._lock:
            self._waiters.setdefault(execution_id, set()).add(waiter)
        try:
            yield waiter[1]
        finally:
            with self._lock:
                waiters = self._waiters.get(execution_id, set())
                waiters.discard(waiter)
                if not waiters:
                    self._waiters.pop(execution_id, None)

    def follow(self, execution_id: str, container_id: str = "") -> None:
        """Remember the execution's events from now on: of that container alone, or of the one that is there."""
        with self._lock:
            if container_id or execution_id not in self._seen:
                self._seen[execution_id] = Seen(container_id)

    def seen(self, execution_id: str) -> Seen:
        """What there was to see of its container so far."""
        with self._lock:
            seen = self._seen.get(execution_id)
            return Seen("") if seen is None else replace(seen)

    def runs(self, execution_id: str) -> None:
        """It was looked at: it has outlived whatever became of the engine."""
        with self._lock:
            seen = self._seen.get(execution_id)
            if seen is not None and self._stream is not None:
                seen.engine_away = False

    def forget(self, execution_id: str) -> None:
        """Drop what was seen of a container that is removed."""
        with self._lock:
            self._seen.pop(execution_id, None)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._follow()
            except DOCKER_ERRORS as error:
                if not self._closing.is_set():
                    _log.warning("docker events: %s; trying again every %s s", error, RECONNECT_S)
            self._away()
            self._closing.wait(RECONNECT_S)

    def _follow(self) -> None:
        client = self._connect()
        try:
            stream = client.events(decode=True, filters=self._filters)
            with self._lock:
                self._stream = None if self._closing.is_set() else stream
            if self._stream is None:
                stream.close()
                return
            # What happened before the stream began is found by looking.
            self._wake(None)
            for event in stream:
                self._take(event)
        finally:
            with self._lock:
                self._stream = None
            client.close()

    def _away(self) -> None:
        with self._lock:
            for seen in self._seen.values():
                # An end that was told before is no doing of the engine's.
                seen.engine_away = seen.exit_status is None

    def _take(self, event: dict[str, Any]) -> None:
        actor = event["Actor"]
        execution_id = actor["Attributes"][EXECUTION_LABEL]
        with self._lock:
            seen = self._seen.get(execution_id)
            # Late news of a container that was removed are no news of the one that took its place.
            if seen is not None and seen.container_id in ("", actor["ID"]):
                if event["Action"] == "oom":
                    seen.oom = True
                elif event["Action"] == "die":
                    seen.exit_status = int(actor["Attributes"]["exitCode"])
        self._wake(execution_id)

    def _wake(self, execution_id: str | None) -> None:
        """None: everybody."""
        with self._lock:
            chosen = list(self._waiters) if execution_id is None else [execution_id]
            waiters = [waiter for key in chosen for waiter in self._waiters.get(key, ())]
        for loop, future in waiters:
            try:
                loop.call_soon_threadsafe(_finish, future)
            except RuntimeError:
                # The loop was closed with its waiters: nobody is left to wake.
                continue


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
