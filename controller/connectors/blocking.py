"""Threads for libraries that block; of their own, so that slow servers hold up nothing else."""

from __future__ import annotations

from typing import Final

from controller.threads import WorkerThreads

_THREADS: Final = 32

# A call whose flow was taken elsewhere goes on in its thread until its timeout.
in_thread = WorkerThreads("connector", _THREADS)
