"""Pins: savepoints that something works with just now, which nothing may remove meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Pins:
    """For the event loop alone: whoever looks here, then asks the database to remove, does both in one step."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, savepoint_id: str) -> Iterator[None]:
        self._held[savepoint_id] += 1
        try:
            yield
        finally:
            self._held[savepoint_id] -= 1
            if not self._held[savepoint_id]:
                del self._held[savepoint_id]

    def __contains__(self, savepoint_id: str) -> bool:
        return savepoint_id in self._held
