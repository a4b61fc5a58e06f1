"""The tree's private files as the agent kept them: scratch.json and scratch.bin."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.inspection.errors import Unreadable
from controller.inspection.image import Image
from controller.inspection.memory import PAGE

# Where the folders of the scratch tmpfs are in the sandbox.
_PLACES: Final = {"tmp": "/tmp", "work": "/work", "flow": "/flow", "shm": "/dev/shm"}  # noqa: S108 - a flow's own
_KINDS: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True, slots=True)
class ScratchFile:
    """path: as the flow sees it. size: bytes, holes included."""

    path: str
    kind: str
    size: int
    mode: int
    modified_ns: int
    extents: tuple[tuple[int, int, int], ...]  # offset in the file, offset in scratch.bin, bytes


class Scratch:
    """All of them, by path."""

    def __init__(self, image: Image) -> None:
        """Raises Unreadable."""
        self._image = image
        try:
            self.files = {file.path: file for entry in image.json("scratch.json") for file in _files(entry)}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unreadable(f"scratch.json: it is not what an agent writes: {error!r}") from error
        self._digests: Sequence[bytes] | None = None

    def read(self, path: str, offset: int, length: int) -> bytes | None:
        """Bytes of a file; None: there is no such file."""
        file = self.files.get(path)
        if file is None:
            return None
        end = min(offset + length, file.size)
        data = bytearray(max(0, end - offset))
        for start, at, count in file.extents:
            first, last = max(start, offset), min(start + count, end)
            if first < last:
                found = self._image.read("scratch.bin", at + first - start, last - first)
                data[first - offset : first - offset + len(found)] = found
        return bytes(data)

    def fingerprint(self, path: str) -> bytes:
        """Equal means equal contents, by the store's names of its pages."""
        file = self.files[path]
        if self._digests is None:
            self._digests = self._image.page_digests("scratch.bin") if "scratch.bin" in self._image else ()
        # A folder grows with what is in it.
        size = 0 if file.kind == "folder" else file.size
        known = hashlib.sha256(f"{file.kind} {size} {file.mode}".encode())
        for start, at, count in file.extents:
            known.update(f"{start} {count}".encode())
            for digest in self._digests[at // PAGE : at // PAGE + count // PAGE]:
                known.update(digest)
            # What fills up a last page depends on what follows.
            rest = count % PAGE
            known.update(self._image.read("scratch.bin", at + count - rest, rest))
        return known.digest()


def _files(entry: dict[str, Any]) -> list[ScratchFile]:
    """One for each name of an inode."""
    mode = int(entry["mode"])
    extents = tuple((int(start), int(at), int(count)) for start, at, count in entry.get("extents", ()))
    if any(min(extent) < 0 for extent in extents):
        raise ValueError("an extent below zero")
    found = []
    for name in entry["names"]:
        # Bytes that are no UTF-8 come as lone surrogates.
        place, _, rest = str(name).encode(errors="backslashreplace").decode().partition("/")
        if place in _PLACES and rest:
            found.append(
                ScratchFile(
                    path=f"{_PLACES[place]}/{rest}",
                    kind=_KINDS.get(stat.S_IFMT(mode), "other"),
                    size=int(entry.get("size", 0)),
                    mode=stat.S_IMODE(mode),
                    modified_ns=int(entry.get("mtime_ns", 0)),
                    extents=extents,
                )
            )
    return found
