"""Bringing one image back from its packs, each opened once, every block verified before it is written."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol, Self

from store.chunk import CHUNK_BYTES, SMALL_FILE_BYTES
from store.errors import ImageDamaged, translated
from store.manifest import ZERO_PACK, Manifest, StoredFile
from store.pack_reader import PackReader

# Far below the usual limit of 1024 open files for the whole process.
_OPEN_FILES: Final = 64
# Files of many runs, up to this size together, are put together in memory: one write instead of hundreds.
_IN_MEMORY_BYTES: Final = 32 * 1024 * 1024
_IN_MEMORY_RUNS: Final = 64


class Sink(Protocol):
    """Where an image's bytes go."""

    def write(self, file: StoredFile, offset: int, data: memoryview) -> None: ...


class NoSink:
    """For verifying alone."""

    def write(self, file: StoredFile, offset: int, data: memoryview) -> None:
        """Drop them."""


class FolderSink:
    """Files below an existing, empty folder; finish() is to be called at the end. A context manager.

    Bytes are written where they belong, sparse where the image has zero pages, except for a file of many runs.
    """

    def __init__(self, folder: Path, image: Manifest) -> None:
        self._folder = os.fspath(folder)
        self._image = image
        self._contents: dict[str, bytearray] = {}
        self._memory_left = _IN_MEMORY_BYTES
        self._begun: set[str] = set()
        self._open: dict[str, int] = {}  # longest open first
        with self._translated():
            for name in image.folders:
                os.mkdir(self._path(name), 0o755)  # a restored process opens its image as another user

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def write(self, file: StoredFile, offset: int, data: memoryview) -> None:
        """Put the bytes at their offset in the file."""
        content = self._contents.get(file.name)
        if content is None and len(file.runs) > _IN_MEMORY_RUNS and self._fits_memory(file):
            content = self._contents[file.name] = bytearray(file.size_bytes)
        if content is not None:
            content[offset : offset + len(data)] = data
        else:
            with self._translated():
                _write_all(self._descriptor(file), offset, data)

    def finish(self) -> None:
        """Write what is in memory, and the files of which no pack spoke: those of zero pages only, and empty ones."""
        with self._translated():
            for file in self._image.files:
                if file.name not in self._begun:
                    descriptor = self._descriptor(file)
                    if (content := self._contents.pop(file.name, None)) is not None:
                        _write_all(descriptor, 0, memoryview(content))

    def _fits_memory(self, file: StoredFile) -> bool:
        if file.name in self._begun or self._memory_left < file.size_bytes:
            return False
        self._memory_left -= file.size_bytes
        return True

    def _translated(self) -> AbstractContextManager[None]:
        return translated(f"Image folder {self._folder} could not be written")

    def _descriptor(self, file: StoredFile) -> int:
        descriptor = self._open.get(file.name)
        if descriptor is not None:
            return descriptor
        if len(self._open) >= _OPEN_FILES:
            os.close(self._open.pop(next(iter(self._open))))
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        begins = file.name not in self._begun
        if begins:
            flags |= os.O_CREAT | os.O_EXCL
        descriptor = self._open[file.name] = os.open(self._path(file.name), flags, 0o644)
        self._begun.add(file.name)
        # Zero pages at the end are written by nobody.
        if begins and file.runs and file.runs[-1].pack == ZERO_PACK:
            os.truncate(descriptor, file.size_bytes)
        return descriptor

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"


def _write_all(descriptor: int, offset: int, data: memoryview) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        offset += written
        data = data[written:]


def read_image(image: Manifest, open_pack: Callable[[bytes], PackReader], sink: Sink) -> None:
    """Give every stored byte of the image to the sink, pack by pack. Raises ImageDamaged."""
    wanted: dict[int, list[tuple[int, int, int, StoredFile]]] = defaultdict(list)
    for file in image.files:
        offset = 0
        for run in file.runs:
            if run.pack != ZERO_PACK:
                wanted[run.pack].append((run.first, run.chunks, offset, file))
            offset += run.chunks * CHUNK_BYTES
    for number, runs in wanted.items():
        # In the pack's order, so that each block is unpacked once.
        runs.sort(key=lambda run: run[0])
        with open_pack(image.packs[number]) as pack:
            for first, count, offset, file in runs:
                _read_run(pack, first, count, offset, file, sink)


def _read_run(pack: PackReader, first: int, count: int, offset: int, file: StoredFile, sink: Sink) -> None:
    end = min(offset + count * CHUNK_BYTES, file.size_bytes) if file.size_bytes >= SMALL_FILE_BYTES else file.size_bytes
    for data in pack.read(first, count):
        if offset + len(data) > end:
            break
        sink.write(file, offset, data)
        offset += len(data)
    if offset != end:
        raise ImageDamaged(
            f"The chunks of {file.name} in the image don't have the length that its manifest says. "
            "Load another savepoint."
        )
