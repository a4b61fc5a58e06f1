"""A spinner for what takes longer than a moment: on a terminal only, on stderr only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

# What ends before this never shows a spinner, and never pays for importing rich.
DELAY_S = 0.4


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show text with a spinner while the body runs, once it has run for DELAY_S."""
    if not sys.stderr.isatty():
        yield
        return
    spinner = _DelayedSpinner(text)
    try:
        yield
    finally:
        spinner.stop()


class _DelayedSpinner:
    """Starts itself in a timer's thread; stop works before, during and after that."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lock = threading.Lock()
        self._stopped = False
        self._status: Status | None = None
        self._timer = threading.Timer(DELAY_S, self._start)
        self._timer.daemon = True
        self._timer.start()

    def _start(self) -> None:
        from rich.console import Console

        with self._lock:
            if not self._stopped:
                self._status = Console(stderr=True).status(self._text)
                self._status.start()

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._stopped = True
            if self._status is not None:
                self._status.stop()
