"""What this container uses, read from its own cgroup, and when it is worth a word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from flowsnap.v1 import agent_pb2 as pb
from flowsnap.v1 import types_pb2

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")

# After the start of the container, so that nothing of the start waits for it.
_FIRST_AFTER_S = 2.0
# Without any change it is said so often all the same.
_SAY_AFTER_S = 60.0
# Changes that are worth a word: of memory as a part of it, of processor time as a part of the time.
_MEMORY_PART = 0.05
_CPU_PART = 0.05


@dataclass(frozen=True, slots=True)
class Usage:
    """at_s: of the monotonic clock; time_ns: since the epoch. cpu_us: since the container's start."""

    at_s: float
    time_ns: int
    cpu_us: int
    memory_bytes: int
    pids: int


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The files of the container's cgroup. unified: version 2."""

    unified: bool
    memory: Path
    cpu: Path
    pids: Path

    @classmethod
    def find(cls, root: Path = _ROOT, own: Path = _OWN) -> Cgroup | None:
        """None: they are not to be seen here.

        A container sees its cgroup as the root of a namespace or of a bind mount, or below the root of the host's.
        """
        try:
            lines = [line.split(":", 2) for line in own.read_text().splitlines()]
        except OSError:
            return None
        paths = {name: path.lstrip("/") for _, names, path in lines for name in names.split(",")}

        def folder(controller: str, file: str) -> Path | None:
            # Version 2 has one folder for all, and names it by an empty word.
            below = root / controller
            places = (below / paths.get(controller, ""), below)
            return next((place for place in places if (place / file).is_file()), None)

        one = folder("", "memory.current")
        if one is not None:
            return cls(unified=True, memory=one, cpu=one, pids=one)
        memory, pids = folder("memory", "memory.usage_in_bytes"), folder("pids", "pids.current")
        cpu = folder("cpuacct", "cpuacct.usage")
        if memory is None or cpu is None or pids is None:
            return None
        return cls(unified=False, memory=memory, cpu=cpu, pids=pids)

    def read(self) -> Usage | None:
        """Some files, a tenth of a millisecond. None: they can't be read any more."""
        try:
            if self.unified:
                memory = int((self.memory / "memory.current").read_text())
                dropped = _value(self.memory / "memory.stat", "inactive_file")
                cpu_us = _value(self.cpu / "cpu.stat", "usage_usec")
            else:
                memory = int((self.memory / "memory.usage_in_bytes").read_text())
                dropped = _value(self.memory / "memory.stat", "total_inactive_file")
                cpu_us = int((self.cpu / "cpuacct.usage").read_text()) // 1000
            pids = int((self.pids / "pids.current").read_text())
        except (OSError, ValueError):
            return None
        # Images on their way to the disk are file cache of this cgroup, and none of the flow's memory.
        return Usage(time.monotonic(), time.time_ns(), cpu_us, max(memory - dropped, 0), pids)


class UsageReports:
    """Looks now and then, and says what changed. Never while the container is away, because it runs in it."""

    def __init__(
        self,
        read: Callable[[], Usage | None],
        agent_id: str,
        report: Callable[[pb.ReportUsageRequest], Awaitable[None]],
    ) -> None:
        self._read = read
        self._agent_id = agent_id
        self._report = report
        self._said: Usage | None = None
        self._said_share = 0.0
        self._before: Usage | None = None

    async def run(self, every_s: float) -> None:
        """For ever."""
        await asyncio.sleep(min(_FIRST_AFTER_S, every_s))
        while True:
            await self.look()
            await asyncio.sleep(every_s)

    async def look(self, *, anyway: bool = False) -> None:
        """Say what there is, when it is news. anyway: whatever it is."""
        now = self._read()
        if now is None:
            return
        before, self._before = self._before, now
        share = 0.0 if before is None else _share(before, now)
        if not (anyway or self._is_news(now, share)):
            return
        # What was left out last stands where a change began: without it that would be drawn as a slow one.
        said = [before, now] if before is not None and before is not self._said else [now]
        self._said, self._said_share = now, share
        await self._report(pb.ReportUsageRequest(agent_id=self._agent_id, samples=map(_sample, said)))

    def _is_news(self, now: Usage, share: float) -> bool:
        said = self._said
        return (
            said is None
            or now.at_s - said.at_s >= _SAY_AFTER_S
            or now.pids != said.pids
            or abs(now.memory_bytes - said.memory_bytes) > said.memory_bytes * _MEMORY_PART
            or abs(share - self._said_share) > _CPU_PART
        )


def _share(before: Usage, now: Usage) -> float:
    passed_us = (now.at_s - before.at_s) * 1e6
    return (now.cpu_us - before.cpu_us) / passed_us if passed_us > 0 else 0.0


def _sample(usage: Usage) -> types_pb2.UsageSample:
    sample = types_pb2.UsageSample(cpu_us=usage.cpu_us, memory_bytes=usage.memory_bytes, pids=usage.pids)
    sample.time.FromNanoseconds(usage.time_ns)
    return sample


def _value(path: Path, name: str) -> int:
    """Of a file of lines "name number". Raises OSError, ValueError."""
    for line in path.read_text().splitlines():
        word, _, number = line.partition(" ")
        if word == name:
            return int(number)
    raise ValueError(f"{path} has no {name}")
