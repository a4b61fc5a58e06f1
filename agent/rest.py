"""Whether a process tree could be put away without anybody noticing: it waits for replies, and for nothing else."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

# System calls that wait until something happens. None: whatever the arguments; else which argument limits the time, and
# the value that stands for no limit. read: of a pipe or the like, because a tree with connections does not count.
_NO_LIMIT: dict[str, dict[int, tuple[int, int] | None]] = {
    "x86_64": {
        0: None,  # read
        7: (2, -1),  # poll
        34: None,  # pause
        61: None,  # wait4
        130: None,  # rt_sigsuspend
        202: (3, 0),  # futex
        232: (3, -1),  # epoll_wait
        247: None,  # waitid
        271: (2, 0),  # ppoll
        281: (3, -1),  # epoll_pwait
    },
    "aarch64": {
        22: (3, -1),  # epoll_pwait
        63: None,  # read
        73: (2, 0),  # ppoll
        95: None,  # waitid
        98: (3, 0),  # futex
        133: None,  # rt_sigsuspend
        260: None,  # wait4
    },
}
_INT_BITS = 32


def rests(processes: Sequence[int]) -> bool:
    """Every thread of them waits without a time limit. False, too, where that can't be known."""
    known = _NO_LIMIT.get(platform.machine(), {})
    return all(_waits(pid, tid, known) for pid in processes for tid in _threads(pid))


def holds_connections(processes: Sequence[int]) -> bool:
    """One of them has a TCP or UDP socket open: somebody outside may want something of it."""
    inodes = set(_sockets(processes))
    if not inodes:
        return False
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in Path(f"/proc/{processes[0]}/net/{protocol}").read_text().splitlines()[1:]:
                if line.split()[9] in inodes:
                    return True
    return False


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _waits(pid: int, tid: str, known: dict[int, tuple[int, int] | None]) -> bool:
    place = f"/proc/{pid}/task/{tid}"
    try:
        if Path(f"{place}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        words = Path(f"{place}/syscall").read_text().split()
    except OSError:
        return False
    if not words[0].isdigit() or int(words[0]) not in known:
        return False
    limit = known[int(words[0])]
    if limit is None:
        return True
    position, without = limit
    value = int(words[1 + position], 16)
    # An int that is -1 may stand in a register of 64 bits with or without its upper half.
    return value == without or (without == -1 and value % (1 << _INT_BITS) == (1 << _INT_BITS) - 1)


def _sockets(processes: Sequence[int]) -> Iterator[str]:
    """Their inode numbers, as /proc/net has them."""
    for pid in processes:
        with contextlib.suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"/proc/{pid}/fd/{number}")
                    if target.startswith("socket:["):
                        yield target[8:-1]
