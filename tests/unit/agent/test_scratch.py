"""Scratch files on a real tmpfs: captured, rebuilt on a fresh one, the same to the inode number."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.scratch import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    mounted = Scratch.mount_empty(tmp_path / "scratch", 16 << 20)
    mounted.make_folders(os.getuid())
    yield mounted
    mounted.discard()


def described(scratch: Scratch) -> dict[str, tuple[object, ...]]:
    """Of each path what a program can see of it."""
    seen: dict[str, tuple[object, ...]] = {}
    for place, folders, files in os.walk(scratch.path):
        for name in folders + files:
            path = os.path.join(place, name)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISREG(status.st_mode):
                content = Path(path).read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            size = status.st_size if not stat.S_ISDIR(status.st_mode) else 0
            seen[os.path.relpath(path, scratch.path)] = (
                status.st_ino, status.st_mode, status.st_uid, status.st_nlink, size, status.st_mtime_ns, content
            )  # fmt: skip
    return seen


def rebuilt(scratch: Scratch, tmp_path: Path) -> dict[str, tuple[object, ...]]:
    image = tmp_path / "image"
    image.mkdir()
    scratch.capture(image)
    fresh = Scratch.mount_empty(tmp_path / "fresh", 16 << 20)
    try:
        fresh.rebuild(image)
        return described(fresh)
    finally:
        fresh.discard()


def test_files_come_back_with_their_inode_numbers_links_modes_and_times(scratch: Scratch, tmp_path: Path) -> None:
    work = scratch.path / "work"
    (work / "gone").write_text("burns an inode number")
    (work / "a.txt").write_text("a")
    (work / "gone").unlink()
    (work / "deep" / "er").mkdir(parents=True)
    (work / "deep" / "er" / "b.bin").write_bytes(os.urandom(10_000))
    os.link(work / "a.txt", work / "deep" / "hard")
    (work / "soft").symlink_to("a.txt")
    os.mkfifo(scratch.path / "tmp" / "fifo", 0o600)
    (work / "a.txt").chmod(0o640)
    os.chown(work / "deep" / "er" / "b.bin", 101000, 101000)
    os.utime(work / "a.txt", ns=(1_000_000_007, 2_000_000_011))
    (work / "empty").touch()

    assert rebuilt(scratch, tmp_path) == described(scratch)


def test_holes_stay_holes(scratch: Scratch, tmp_path: Path) -> None:
    with (scratch.path / "tmp" / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(64 << 20)
        file.write(b"end")
    image = tmp_path / "image"
    image.mkdir()
    scratch.capture(image)
    assert (image / "scratch.bin").stat().st_size < 1 << 20
    fresh = Scratch.mount_empty(tmp_path / "fresh", 16 << 20)
    fresh.rebuild(image)
    sparse = fresh.path / "tmp" / "sparse"
    assert sparse.stat().st_blocks < 1000
    assert sparse.read_bytes() == (scratch.path / "tmp" / "sparse").read_bytes()
    fresh.discard()


def test_an_empty_scratch_comes_back_empty(scratch: Scratch, tmp_path: Path) -> None:
    assert rebuilt(scratch, tmp_path) == described(scratch)


def test_a_scratch_that_is_too_small_says_so_when_it_is_rebuilt(scratch: Scratch, tmp_path: Path) -> None:
    (scratch.path / "tmp" / "large").write_bytes(os.urandom(4 << 20))
    image = tmp_path / "image"
    image.mkdir()
    scratch.capture(image)
    small = Scratch.mount_empty(tmp_path / "small", 1 << 20)
    with pytest.raises(OSError, match="No space left"):
        small.rebuild(image)
    small.discard()
