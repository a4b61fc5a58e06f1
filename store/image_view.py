"""Looking into one image without writing it anywhere: only the blocks that are asked for are read, each verified."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Final, Self

from store.chunk import CHUNK_BYTES, SMALL_FILE_BYTES, ZERO_DIGEST, digest_of
from store.errors import ImageDamaged
from store.manifest import ZERO_PACK, Manifest, Run, StoredFile
from store.pack_reader import PackReader

# An image of a long lineage may lie in hundreds of packs, each of which costs a descriptor while it is open.
_OPEN_PACKS: Final = 32


class ImageView:
    """The files of one image, read lazily. A context manager; not thread-safe.

    Raises ImageDamaged when what is looked at is not what was written, KeyError for a file that the image hasn't.
    """

    def __init__(self, image: Manifest, open_pack: Callable[[bytes], PackReader]) -> None:
        self._image = image
        self._files = {file.name: file for file in image.files}
        self._open_pack = open_pack
        self._open: OrderedDict[int, PackReader] = OrderedDict()
        self._ends: dict[str, list[int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].__exit__(None, None, None)

    def names(self) -> Sequence[str]:
        """Paths below the image's folder, with '/'."""
        return list(self._files)

    def size(self, name: str) -> int:
        """Bytes of that file."""
        return self._files[name].size_bytes

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes from offset on; fewer than length where the file ends."""
        file = self._files[name]
        end = min(offset + length, file.size_bytes)
        if not 0 <= offset < end:
            return b""
        if file.size_bytes < SMALL_FILE_BYTES:
            return self._chunks(file, file.runs[0], 0, 1)[offset:end]
        first, last = offset // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        data = b"".join(
            self._chunks(file, run, skipped, count) for run, skipped, count in self._runs(file, first, last - first + 1)
        )
        start = offset - first * CHUNK_BYTES
        if len(data) < end - first * CHUNK_BYTES:
            raise self._wrong_length(file)
        return data[start : start + end - offset]

    def page_digests(self, name: str) -> Sequence[bytes]:
        """Of each 4096 bytes of the file what names their content, without reading them: equal means same bytes."""
        file = self._files[name]
        if file.size_bytes < SMALL_FILE_BYTES:
            data = self.read(name, 0, file.size_bytes)
            return [digest_of(data[at : at + CHUNK_BYTES]) for at in range(0, len(data), CHUNK_BYTES)]
        digests: list[bytes] = []
        for run in file.runs:
            if run.pack == ZERO_PACK:
                digests += [ZERO_DIGEST] * run.chunks
            else:
                chunks = self._pack(run.pack).chunks[run.first : run.first + run.chunks]
                if len(chunks) != run.chunks:
                    raise self._wrong_length(file)
                digests += [digest for _, digest in chunks]
        return digests

    def _runs(self, file: StoredFile, first: int, count: int) -> Iterator[tuple[Run, int, int]]:
        """The runs that hold these chunks of the file: of each run how many to skip, how many to take."""
        ends = self._ends.get(file.name)
        if ends is None:
            ends = self._ends[file.name] = list(accumulate(run.chunks for run in file.runs))
        number = bisect_right(ends, first)
        while count:
            run = file.runs[number]
            skipped = first - (ends[number] - run.chunks)
            taken = min(count, run.chunks - skipped)
            yield run, skipped, taken
            first += taken
            count -= taken
            number += 1

    def _chunks(self, file: StoredFile, run: Run, skipped: int, count: int) -> bytes:
        if run.pack == ZERO_PACK:
            return bytes(count * CHUNK_BYTES)
        data = b"".join(self._pack(run.pack).read(run.first + skipped, count))
        if file.size_bytes < SMALL_FILE_BYTES and len(data) != file.size_bytes:
            raise self._wrong_length(file)
        return data

    def _pack(self, number: int) -> PackReader:
        reader = self._open.get(number)
        if reader is None:
            if len(self._open) >= _OPEN_PACKS:
                self._open.popitem(last=False)[1].__exit__(None, None, None)
            reader = self._open[number] = self._open_pack(self._image.packs[number])
        self._open.move_to_end(number)
        return reader

    def _wrong_length(self, file: StoredFile) -> ImageDamaged:
        return ImageDamaged(
            f"The chunks of {file.name} in the image don't have the length that its manifest says. "
            "Look at another savepoint."
        )
