"""How much work one inspection may be, whatever the memory that it reads says."""

from __future__ import annotations

import time
from typing import Final

from controller.inspection.errors import Exhausted

_LOOK_AT_CLOCK_EVERY: Final = 64


class Budget:
    """Counted down by whoever reads; shared by all processes of a savepoint."""

    def __init__(
        self, *, steps: int = 400_000, read_bytes: int = 64 << 20, characters: int = 8 << 20, seconds: float = 10
    ) -> None:
        """steps: objects and pieces of memory looked at. read_bytes: taken from the store or the container image.

        characters: of all texts that are shown.
        """
        self._steps = steps
        self._clock_at = steps
        self._bytes = read_bytes
        self._characters = characters
        self._deadline = time.monotonic() + seconds

    def step(self, count: int = 1) -> None:
        """Raises Exhausted."""
        self._steps -= count
        if self._steps < 0:
            raise Exhausted("too many objects")
        if self._steps < self._clock_at:
            self._clock_at = self._steps - _LOOK_AT_CLOCK_EVERY
            if time.monotonic() > self._deadline:
                raise Exhausted("it took too long")

    def take(self, count: int) -> None:
        """Raises Exhausted."""
        self._bytes -= count
        if self._bytes < 0:
            raise Exhausted("too much memory")

    def show(self, text: str) -> str:
        """The text itself. Raises Exhausted."""
        self._characters -= len(text)
        if self._characters < 0:
            raise Exhausted("too much text")
        return text
