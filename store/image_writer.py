"""Cutting one image folder into chunks: those known already are referred to, the others go into one new pack."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from store import manifest
from store.chunk import CHUNK_BYTES, SMALL_FILE_BYTES, ZERO, ZERO_DIGEST, Runs, digests_of, index_of, location, pack_of
from store.errors import StoreError, translated
from store.index import ImageIndex
from store.pack_writer import PackWriter

# Files are read in pieces of this size, a multiple of the chunk's; it fits a processor's second-level cache.
_WINDOW_BYTES: Final = 1024 * 1024

_local = threading.local()


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    size_bytes: int
    runs: Runs


class ImageWriter:
    """One image on its way into the store. Its locations count packs in a table of its own: known, then new ones."""

    def __init__(self, savepoint_id: str, known: ImageIndex, bases: Sequence[ImageIndex], new_pack: PackWriter) -> None:
        self._savepoint_id = savepoint_id
        self._known = known.locations
        self._known_checksums = known.checksums
        self._checksums: dict[bytes, bytes] = {}
        self._bases = bases
        self._new_pack = new_pack
        self._new_number = len(known.packs)
        # The new pack gets its id when it is finished.
        self._packs: list[bytes] = [*known.packs, b""]
        self._base_numbers: dict[bytes, int] = {}
        self._locations: dict[bytes, int] = {ZERO_DIGEST: ZERO}
        self._folders: list[str] = []
        self._files: list[_File] = []

    def add_folder(self, folder: Path) -> None:
        """Read every file below the folder. Raises StoreError for what is neither file nor folder."""
        with translated(f"Image folder {folder} could not be read"):
            for name, path in self._walk(os.fspath(folder), ""):
                self._add_file(name, path)

    def manifest(self, lineage: str, new_pack: bytes | None) -> manifest.Manifest:
        """The image's manifest, once the new pack has its id (None: nothing was new)."""
        self._packs[self._new_number] = new_pack or b""
        numbers: dict[int, int] = {}
        files = []
        for file in self._files:
            runs = []
            for where, count in file.runs.pairs:
                if where < 0:
                    runs.append(manifest.Run(manifest.ZERO_PACK, 0, count))
                else:
                    number = numbers.setdefault(pack_of(where), len(numbers))
                    runs.append(manifest.Run(number, index_of(where), count))
            files.append(manifest.StoredFile(file.name, file.size_bytes, runs))
        packs = [self._packs[number] for number in numbers]
        return manifest.Manifest(self._savepoint_id, lineage, packs, self._folders, files)

    def index(self) -> ImageIndex:
        """Where this image's chunks lie, for the next image to be compared with. After manifest()."""
        used = ImageIndex(self._savepoint_id, self._packs, self._locations, self._checksums)
        return used if self._packs[self._new_number] else used.without({b""})

    def _walk(self, path: str, below: str) -> Iterator[tuple[str, str]]:
        """Name and path of each file, in the order of names, so that equal folders give equal packs."""
        with os.scandir(path) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            name = below + entry.name
            if entry.is_file(follow_symlinks=False):
                yield name, entry.path
            elif entry.is_dir(follow_symlinks=False):
                self._folders.append(name)
                yield from self._walk(entry.path, name + "/")
            else:
                raise StoreError(
                    f"{entry.path} is neither a file nor a folder; an image holds nothing else. Remove it."
                )

    def _add_file(self, name: str, path: str) -> None:
        window = _window()
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            runs = Runs()
            length = _fill(descriptor, window)
            size = length
            if length < SMALL_FILE_BYTES:
                if length:
                    runs.extend(self._locate([window[:length]]))
            else:
                while length:
                    cuts = range(0, length, CHUNK_BYTES)
                    runs.extend(self._locate([window[cut : min(cut + CHUNK_BYTES, length)] for cut in cuts]))
                    length = _fill(descriptor, window) if length == len(window) else 0
                    size += length
        finally:
            os.close(descriptor)
        self._files.append(_File(name, size, runs))

    def _locate(self, chunks: list[memoryview]) -> list[int]:
        digests = digests_of(chunks, self._known_checksums, self._checksums)
        found = list(map(self._known.get, digests))
        locations: list[int] = []
        for where, digest, chunk in zip(found, digests, chunks, strict=True):
            locations.append(self._place(digest, chunk) if where is None else where)
        self._locations.update(zip(digests, locations, strict=True))
        return locations

    def _place(self, digest: bytes, chunk: memoryview) -> int:
        """Where a chunk that the lineage doesn't know lies; in the new pack when nobody knows it."""
        where = self._locations.get(digest)
        if where is None:
            where = self._from_bases(digest)
        if where is None:
            where = location(self._new_number, self._new_pack.add(chunk, digest))
        self._locations[digest] = where
        return where

    def _from_bases(self, digest: bytes) -> int | None:
        for base in self._bases:
            where = base.locations.get(digest)
            if where is not None:
                pack = base.packs[pack_of(where)]
                number = self._base_numbers.get(pack)
                if number is None:
                    number = self._base_numbers[pack] = len(self._packs)
                    self._packs.append(pack)
                return location(number, index_of(where))
        return None


def _window() -> memoryview:
    """This thread's buffer: fresh memory for every put would cost more page faults than reading does."""
    window: memoryview | None = getattr(_local, "window", None)
    if window is None:
        window = _local.window = memoryview(bytearray(_WINDOW_BYTES))
    return window


def _fill(descriptor: int, window: memoryview) -> int:
    """Read until the window is full or the file ends; answers the bytes read."""
    length = 0
    while length < len(window):
        read = os.readv(descriptor, [window[length:]])
        if not read:
            break
        length += read
    return length
