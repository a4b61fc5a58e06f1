"""Tells those who watch an execution that something about it changed: they look again, nobody polls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


def usage_of(execution_id: str) -> str:
    """What to watch for what an execution uses."""
    return f"usage of {execution_id}"


class Changes:
    """One asyncio event per watcher. A slow one misses states in between, never the last, and blocks nobody."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._of_all: set[asyncio.Event] = set()
        # The controller is going: watchers look a last time and leave.
        self.closed = False

    def notify(self, execution_id: str) -> None:
        for event in (*self._watchers.get(execution_id, ()), *self._of_all):
            event.set()

    def notify_of_usage(self, execution_id: str) -> None:
        """Of nothing else: whoever watches the execution's record, or all of them, need not look again."""
        for event in self._watchers.get(usage_of(execution_id), ()):
            event.set()

    def close(self) -> None:
        self.closed = True
        for event in (*(event for events in self._watchers.values() for event in events), *self._of_all):
            event.set()

    @contextmanager
    def watch(self, *execution_ids: str) -> Iterator[asyncio.Event]:
        """An event that is set after each change of any of them. Clear it before looking, wait on it afterwards."""
        event = asyncio.Event()
        for execution_id in execution_ids:
            self._watchers.setdefault(execution_id, set()).add(event)
        try:
            yield event
        finally:
            for execution_id in execution_ids:
                watchers = self._watchers.get(execution_id, set())
                watchers.discard(event)
                if not watchers:
                    self._watchers.pop(execution_id, None)

    @contextmanager
    def watch_all(self) -> Iterator[asyncio.Event]:
        """As watch, of all executions."""
        event = asyncio.Event()
        self._of_all.add(event)
        try:
            yield event
        finally:
            self._of_all.discard(event)
