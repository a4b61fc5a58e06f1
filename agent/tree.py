"""A living process tree: its first process, its pipes, its scratch, and how to stop, continue and end it."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from agent.pipes import Pipes
from agent.scratch import Scratch


@dataclass(slots=True)
class Tree:
    """pid: the first process, as the agent sees it; when it goes the kernel ends its whole pid namespace."""

    pid: int
    pipes: Pipes
    scratch: Scratch
    frozen: bool = False
    # Ended by the agent because another tree takes its place: nobody is to hear of that as the flow's end.
    replaced: bool = False

    def freeze(self) -> None:
        """Stop every process that runs. A dump may have done it already."""
        self._signal_all(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let every process go on."""
        self._signal_all(signal.SIGCONT)
        self.frozen = False

    def kill(self) -> None:
        """End all of it; the reaper collects the first process."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """Their pids, the first one's first."""
        return _descendants(self.pid)

    def switches(self) -> tuple[int, ...] | None:
        """How often its only thread was scheduled; None when there are more threads or processes than one.

        Equal numbers at two instants prove that nothing in the tree ran in between.
        """
        try:
            threads = os.listdir(f"/proc/{self.pid}/task")
            if len(threads) != 1 or Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text():
                return None
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        return tuple(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in _descendants(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    """The process and all below it; orphans are there too, below the first process of their pid namespace."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                children = Path(f"/proc/{parent}/task/{thread}/children").read_text().split()
                found.extend(int(child) for child in children)
    return found
