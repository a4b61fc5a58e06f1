"""Usage as files of a cgroup tell it, of both versions, and what of it is worth a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flowsnap.v1 import agent_pb2 as pb

from agent.usage import Cgroup, Usage, UsageReports

FILES_2 = {
    "memory.current": "41943040\n",
    "memory.stat": "anon 33554432\nfile 8388608\ninactive_file 2097152\nactive_file 0\n",
    "cpu.stat": "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n",
    "pids.current": "5\n",
}
FILES_1 = {
    "memory/memory.usage_in_bytes": "41943040\n",
    "memory/memory.stat": "cache 8388608\ninactive_file 0\ntotal_inactive_file 2097152\n",
    "cpuacct/cpuacct.usage": "1234567890\n",
    "pids/pids.current": "5\n",
}
OWN_1 = "9:name=systemd:/docker/ab\n8:pids:/docker/ab\n4:memory:/docker/ab\n2:cpu,cpuacct:/docker/ab\n0::/docker/ab\n"


def _written(root: Path, files: dict[str, str], own: str, below: str = "") -> Cgroup | None:
    for name, text in files.items():
        controller, _, file = name.rpartition("/")
        path = root / controller / below / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "own").write_text(own)
    return Cgroup.find(root, root / "own")


@pytest.mark.parametrize(
    ("files", "own", "below"),
    [
        (FILES_2, "0::/\n", ""),
        (FILES_2, "0::/docker/ab\n", "docker/ab"),
        (FILES_1, OWN_1, ""),
        (FILES_1, OWN_1, "docker/ab"),
        (FILES_1, OWN_1.replace("docker/ab", ""), ""),
    ],
)
def test_usage_is_read_wherever_the_container_has_its_cgroup(
    tmp_path: Path, files: dict[str, str], own: str, below: str
) -> None:
    cgroup = _written(tmp_path, files, own, below)
    assert cgroup is not None
    usage = cgroup.read()
    assert usage is not None
    assert (usage.memory_bytes, usage.cpu_us, usage.pids) == (38 << 20, 1_234_567, 5)


def test_nothing_is_read_where_there_is_no_cgroup(tmp_path: Path) -> None:
    assert Cgroup.find(tmp_path, tmp_path / "missing") is None
    assert _written(tmp_path, {}, "0::/\n") is None


@pytest.mark.parametrize(("name", "text"), [("pids.current", "max\n"), ("memory.stat", "anon 1\n"), ("cpu.stat", "")])
def test_reading_says_so_when_a_file_can_not_be_read(tmp_path: Path, name: str, text: str) -> None:
    cgroup = _written(tmp_path, FILES_2 | {name: text}, "0::/\n")
    assert cgroup is not None
    assert cgroup.read() is None


_START = Usage(at_s=0, time_ns=0, cpu_us=0, memory_bytes=1_000_000, pids=3)
_SECOND = 1_000_000


async def _told(*changes: dict[str, int] | None, last: bool = False) -> list[list[int]]:
    """Of looks every 10 s, each with what changed (None: nothing is to be seen): the times that reports told of."""
    reports: list[list[int]] = []
    seen: list[Usage | None] = []

    async def report(request: pb.ReportUsageRequest) -> None:
        assert request.agent_id == "e1-life"
        reports.append([sample.time.seconds for sample in request.samples])

    told = UsageReports(lambda: seen[-1], "e1-life", report)
    usage = _START
    for at, change in enumerate(changes):
        usage = replace(usage, at_s=10.0 * at, time_ns=10_000_000_000 * at, **(change or {}))
        seen.append(None if change is None else usage)
        await told.look(anyway=last and at == len(changes) - 1)
    return reports


async def test_nothing_is_said_when_nothing_changed_but_once_a_minute() -> None:
    assert await _told(*[{}] * 14) == [[0], [50, 60], [110, 120]]


@pytest.mark.parametrize(
    "change", [{"memory_bytes": 1_060_000}, {"memory_bytes": 930_000}, {"pids": 4}, {"cpu_us": _SECOND}]
)
async def test_change_is_said_at_once_with_where_it_began(change: dict[str, int]) -> None:
    assert await _told({}, {}, {}, change) == [[0], [20, 30]]
    assert await _told({}, change) == [[0], [10]]


@pytest.mark.parametrize("change", [{"memory_bytes": 1_040_000}, {"cpu_us": _SECOND // 4}])
async def test_little_is_not_said(change: dict[str, int]) -> None:
    assert await _told({}, {}, change) == [[0]]


async def test_small_changes_are_said_when_they_add_up() -> None:
    assert await _told(*({"memory_bytes": 1_000_000 + at * 20_000} for at in range(4))) == [[0], [20, 30]]


async def test_the_end_of_work_is_said_as_its_beginning() -> None:
    busy = [{"cpu_us": at * 9 * _SECOND} for at in range(4)]
    assert await _told(*busy, {}, {}) == [[0], [10], [30, 40]]


async def test_last_word_is_said_whatever_it_is() -> None:
    assert await _told({}, {}, {}, last=True) == [[0], [10, 20]]


async def test_nothing_is_said_while_nothing_can_be_read() -> None:
    assert await _told(None, None, {}) == [[20]]
