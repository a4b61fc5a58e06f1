"""The private files of a process tree: one tmpfs, captured with a savepoint and rebuilt with its inode numbers.

A tmpfs hands out inode numbers 2, 3, 4... in order of creation. Rebuilding in ascending order, and burning the gaps
with files that never get a name, gives every file its old number: programs that remember it (SQLite does) go on.

A captured tree is two files of a savepoint image: `scratch.json` (a list of entries, ascending by inode) and
`scratch.bin` (the data of all regular files, each extent at a multiple of 4096 bytes, so that the store finds an
unchanged page again).
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent import linux

# Folder of the tmpfs -> where the sandbox has it. One tmpfs for all, so that one capture sees all inode numbers.
SCRATCH_FOLDERS = {"tmp": "/tmp", "work": "/work", "flow": "/flow", "shm": "/dev/shm"}  # noqa: S108

_ROOT_INODE = 1
_PAGE = 4096


@dataclass(slots=True)
class Entry:
    """One inode. names: all its paths below the tmpfs; extents: (offset in file, offset in scratch.bin, bytes)."""

    inode: int
    names: list[str]
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    atime_ns: int
    size: int = 0
    device: int = 0
    target: str = ""
    extents: list[tuple[int, int, int]] = field(default_factory=list)
    xattrs: dict[str, str] = field(default_factory=dict)


class Scratch:
    """One mounted tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def mount_empty(cls, path: Path, limit_bytes: int = 0) -> Scratch:
        """A fresh tmpfs on a fresh folder; limit_bytes 0: the kernel's default, half of the memory."""
        path.mkdir(parents=True)
        size = f",size={limit_bytes}" if limit_bytes else ""
        linux.mount("tmpfs", str(path), "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, f"mode=711{size}")
        return cls(path)

    def make_folders(self, owner: int) -> None:
        """What a new process tree finds: its folders, empty."""
        for name in SCRATCH_FOLDERS:
            folder = self.path / name
            folder.mkdir()
            if name in ("tmp", "shm"):
                folder.chmod(0o1777)
            else:
                folder.chmod(0o755)
                os.chown(folder, owner, owner)

    def discard(self) -> None:
        """Unmount; the memory is free when the last process that uses it is gone."""
        linux.unmount(str(self.path))
        self.path.rmdir()

    def capture(self, folder: Path) -> None:
        """Write scratch.json and scratch.bin. The tree must stand still meanwhile."""
        entries: dict[int, Entry] = {}
        with (folder / "scratch.bin").open("wb", buffering=0) as data:
            self._walk(self.path, "", entries, data.fileno())
        ordered = sorted(entries.values(), key=lambda entry: entry.inode)
        (folder / "scratch.json").write_text(json.dumps([asdict(entry) for entry in ordered], separators=(",", ":")))

    def _walk(self, folder: Path | str, prefix: str, entries: dict[int, Entry], data: int) -> None:
        with os.scandir(folder) as found:
            children = list(found)
        for child in children:
            name = prefix + child.name
            status = child.stat(follow_symlinks=False)
            known = entries.get(status.st_ino)
            if known is not None:
                known.names.append(name)
                continue
            entry = entries[status.st_ino] = Entry(
                inode=status.st_ino,
                names=[name],
                mode=status.st_mode,
                uid=status.st_uid,
                gid=status.st_gid,
                mtime_ns=status.st_mtime_ns,
                atime_ns=status.st_atime_ns,
                size=status.st_size,
            )
            if stat.S_ISDIR(status.st_mode):
                self._walk(child.path, name + "/", entries, data)
            elif stat.S_ISREG(status.st_mode):
                _copy_extents(child.path, status.st_size, data, entry)
                _read_xattrs(child.path, entry)
            elif stat.S_ISLNK(status.st_mode):
                entry.target = os.readlink(child.path)
            else:
                entry.device = status.st_rdev

    def rebuild(self, folder: Path) -> None:
        """Make the captured files again. self must be empty and fresh. Raises OSError, ValueError."""
        entries = [_entry(item) for item in json.loads((folder / "scratch.json").read_text())]
        with (folder / "scratch.bin").open("rb", buffering=0) as data:
            self._create(entries, data.fileno())
        self._place(entries)
        self._finish(entries)

    def _stage(self, entry: Entry) -> str:
        return f"{self.path}/.{entry.inode}"

    def _create(self, entries: list[Entry], data: int) -> None:
        """Each inode in turn, under a flat name: order of creation is what gives the numbers."""
        following = _ROOT_INODE + 1
        for entry in entries:
            while following < entry.inode:
                os.close(os.open(self.path, os.O_TMPFILE | os.O_RDWR))
                following += 1
            path = self._stage(entry)
            if stat.S_ISDIR(entry.mode):
                os.mkdir(path)
            elif stat.S_ISREG(entry.mode):
                _write_extents(path, data, entry)
            elif stat.S_ISLNK(entry.mode):
                os.symlink(entry.target, path)
            else:
                os.mknod(path, entry.mode, entry.device)
            inode = os.lstat(path).st_ino
            if inode != entry.inode:
                raise ValueError(f"scratch file {entry.names[0]} got inode {inode} instead of {entry.inode}")
            following = entry.inode + 1

    def _place(self, entries: list[Entry]) -> None:
        """Move all to their names: parents before children."""
        for entry in sorted(entries, key=lambda entry: min(name.count("/") for name in entry.names)):
            entry.names.sort(key=lambda name: name.count("/"))
            os.rename(self._stage(entry), f"{self.path}/{entry.names[0]}")
        for entry in entries:
            for name in entry.names[1:]:
                os.link(f"{self.path}/{entry.names[0]}", f"{self.path}/{name}", follow_symlinks=False)

    def _finish(self, entries: list[Entry]) -> None:
        """Owners, modes and times last, children before parents: each creation changed its parent's times."""
        for entry in sorted(entries, key=lambda entry: -entry.names[0].count("/")):
            path = f"{self.path}/{entry.names[0]}"
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
            if not stat.S_ISLNK(entry.mode):
                os.chmod(path, stat.S_IMODE(entry.mode))
            for name, value in entry.xattrs.items():
                os.setxattr(path, name, bytes.fromhex(value))
            os.utime(path, ns=(entry.atime_ns, entry.mtime_ns), follow_symlinks=False)


def _entry(item: dict[str, Any]) -> Entry:
    entry = Entry(**item)
    entry.extents = [(at, stored, size) for at, stored, size in item["extents"]]
    return entry


def _copy_extents(path: str, size: int, data: int, entry: Entry) -> None:
    """Copy what is not a hole, each extent to the next multiple of the page size."""
    if size == 0:
        return
    source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        at = 0
        while at < size:
            try:
                begin = os.lseek(source, at, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole up to the end
                return
            at = min(os.lseek(source, begin, os.SEEK_HOLE), size)
            stored = -(-os.lseek(data, 0, os.SEEK_END) // _PAGE) * _PAGE
            os.lseek(data, stored, os.SEEK_SET)
            _transfer(source, begin, data, at - begin)
            entry.extents.append((begin, stored, at - begin))
    finally:
        os.close(source)


def _write_extents(path: str, data: int, entry: Entry) -> None:
    target = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.ftruncate(target, entry.size)
        for at, stored, size in entry.extents:
            os.lseek(target, at, os.SEEK_SET)
            _transfer(data, stored, target, size)
    finally:
        os.close(target)


def _transfer(source: int, offset: int, target: int, size: int) -> None:
    """Copy inside the kernel, to the target's present position."""
    while size:
        copied = os.sendfile(target, source, offset, size)
        if copied == 0:
            raise ValueError("a scratch file ended before its recorded size")
        offset += copied
        size -= copied


def _read_xattrs(path: str, entry: Entry) -> None:
    for name in os.listxattr(path, follow_symlinks=False):
        if name.startswith("user."):
            entry.xattrs[name] = os.getxattr(path, name).hex()
