"""What executions that have ended may have left on the host, and in the store."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from flowsnap.v1 import control_pb2 as pb
from platform_under_test import ENDED, Platform, containers, volumes

_LONG_AGO_S = 7200
# Of a container, or of one of its layers.
_ID = re.compile("[0-9a-f]{64}")


def assert_savepoints_are_good(platform: Platform) -> None:
    """Each that is listed can be loaded: its image is read and verified. The store has no other, once it is collected.

    To be asked when each execution has ended.
    """
    listed = set()
    for execution in platform.list():
        for savepoint in platform.savepoints(execution.id):
            platform.load(execution.id, id=savepoint.id, dry_run=True)
            listed.add(savepoint.id)
    store = platform.data_dir / "store"
    long_ago = time.time() - _LONG_AGO_S
    for manifest in (store / "manifests").iterdir():
        # Images that were never recorded are collected when nobody can be about to record them.
        os.utime(manifest, (long_ago, long_ago))
    platform.system.CollectGarbage(pb.CollectGarbageRequest(), timeout=60)
    assert {manifest.stem for manifest in (store / "manifests").iterdir()} == listed
    assert not list((store / "tmp").iterdir())


def assert_nothing_left(platform: Platform) -> None:
    """No container, volume, mount, socket or agent's folder. Waits for what goes by itself after an end."""
    assert [execution.id for execution in platform.list() if execution.status not in ENDED] == []
    left: list[str] = []

    def tidy() -> bool:
        left[:] = [*_left_behind(platform.data_dir), *_left_in_engine(platform.volumes_before or set())]
        return not left

    try:
        platform.wait_until(tidy)
    except AssertionError as error:
        raise AssertionError(f"left behind: {left}\n{error}") from error


def _left_behind(data_dir: Path) -> Iterator[str]:
    yield from (f"container {name}" for name in containers(data_dir))
    yield from (f"folder {folder}" for folder in (data_dir / "agents").iterdir())
    for mounts, text in _mounts():
        if f"{data_dir}/" in text:
            yield f"{mounts} has a mount of it"
    known = {data_dir / "run" / "control.sock", data_dir / "agent-socket" / "agent.sock"}
    # Folders may go while they are walked.
    for folder, _, names in os.walk(data_dir):
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(path.lstat().st_mode) and path not in known:
                    yield f"socket {path}"


def _left_in_engine(volumes_before: set[str]) -> Iterator[str]:
    """Volumes, and what the engine had mounted for a container: its layers, its /dev/shm."""
    yield from (f"volume {name}" for name in volumes() - volumes_before)
    root = _docker("info", "--format", "{{.DockerRootDir}}").strip()
    before = _engine_mounts(root)
    known = set(_ID.findall(_docker("inspect", *_docker("ps", "--all", "--quiet", "--no-trunc").split())))
    # Others use the engine, too: what comes or goes just now is no leftover.
    for mount in before & _engine_mounts(root):
        if not known.issuperset(_ID.findall(mount)):
            yield f"mount {mount}"


def _engine_mounts(root: str) -> set[str]:
    """Mount points below the engine's folder that belong to a container or to its layers."""
    points = {line.split()[4] for _, text in _mounts() for line in text.splitlines()}
    return {point for point in points if point.startswith(f"{root}/") and _ID.search(point)}


def _mounts() -> Iterator[tuple[Path, str]]:
    """In each mount namespace, as far as processes live in it."""
    for mounts in [Path("/proc/self/mountinfo"), *Path("/proc").glob("[0-9]*/mountinfo")]:
        with contextlib.suppress(OSError):
            yield mounts, mounts.read_text()


def _docker(*arguments: str) -> str:
    """What it said; nothing of containers that are gone."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False).stdout
