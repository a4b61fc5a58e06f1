"""Reading one pack: nothing leaves it that is not what was sealed, to the last bit."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from zstandard import ZstdDecompressor, ZstdError

from store import pack
from store.errors import ImageDamaged, from_os_error
from store.seal import HEAD_BYTES, Keyring, SealError

# Packs up to this size are read at once: one system call instead of three or more.
_WHOLE_BYTES: Final = 512 * 1024

_local = threading.local()


def _decompress(data: bytes, raw_bytes: int) -> bytes:
    decompressor: ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = ZstdDecompressor()
    return decompressor.decompress(data, max_output_size=raw_bytes)


class BlockCache:
    """Unpacked blocks that were verified, the most recently used of all packs. Thread-safe.

    A savepoint is often loaded more than once, and savepoints of one execution share most of their blocks.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._blocks: OrderedDict[tuple[bytes, int], tuple[memoryview, list[int]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, pack_id: bytes, number: int) -> tuple[memoryview, list[int]] | None:
        """A block's raw bytes and its chunks' offsets."""
        with self._lock:
            found = self._blocks.get((pack_id, number))
            if found is not None:
                self._blocks.move_to_end((pack_id, number))
            return found

    def add(self, pack_id: bytes, number: int, block: tuple[memoryview, list[int]]) -> None:
        with self._lock:
            if (pack_id, number) not in self._blocks:
                self._bytes += len(block[0])
            self._blocks[pack_id, number] = block
            while self._bytes > self._limit_bytes:
                self._bytes -= len(self._blocks.popitem(last=False)[1][0])


class PackReader:
    """An open pack whose footer matched its id. A context manager.

    A block that its seal opens is what was written, and its chunks with it.
    Raises ImageDamaged, naming the file, when any byte that is looked at is not what was written.
    """

    def __init__(self, path: Path, pack_id: bytes, keys: Keyring, cache: BlockCache) -> None:
        self._path = path
        self._pack_id = pack_id
        self._cache = cache
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise self._damaged("the file is gone") from error
        except OSError as error:
            raise from_os_error(f"Pack {path} could not be opened", error) from error
        try:
            self._read_footer(pack_id, keys)
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    @property
    def chunks(self) -> Sequence[tuple[int, bytes]]:
        """Of each chunk its raw bytes and its digest."""
        return self._footer.chunks

    def read(self, first: int, count: int) -> Iterator[memoryview]:
        """The bytes of chunks first to first + count, one view per block that they lie in, each block verified."""
        if first + count > len(self._footer.chunks):
            raise self._damaged(f"it has {len(self._footer.chunks)} chunks, and chunk {first + count - 1} is asked for")
        number = self._block_number(first)
        while count:
            raw, starts = self._unpacked(number)
            begin = self._first_chunk[number]
            here = min(count, self._footer.blocks[number].chunks - (first - begin))
            offsets = starts[first - begin : first - begin + here + 1]
            yield raw[offsets[0] : offsets[-1]]
            first += here
            count -= here
            number += 1

    def _read_footer(self, pack_id: bytes, keys: Keyring) -> None:
        size = os.fstat(self._fd).st_size
        self._whole = self._pread(0, size) if size <= _WHOLE_BYTES else None
        footer_end = size - pack.TRAILER_BYTES
        try:
            self._seal = pack.resume(keys, bytes(self._stored(0, min(HEAD_BYTES, size))))
            footer_bytes = pack.parse_trailer(bytes(self._stored(max(0, footer_end), pack.TRAILER_BYTES)))
            footer_at = max(0, footer_end - footer_bytes)
            self._footer = pack.parse_footer(
                bytes(self._stored(footer_at, footer_end - footer_at)), pack_id, self._seal
            )
        except ValueError as error:
            raise self._damaged(str(error)) from error
        blocks = self._footer.blocks
        self._block_at = list(accumulate((block.stored_bytes for block in blocks), initial=HEAD_BYTES))
        if self._block_at[-1] != footer_at:
            raise self._damaged("its blocks don't fill it")
        self._first_chunk = list(accumulate((block.chunks for block in blocks), initial=0))

    def _block_number(self, chunk: int) -> int:
        return bisect_right(self._first_chunk, chunk) - 1

    def _unpacked(self, number: int) -> tuple[memoryview, list[int]]:
        """A block's raw bytes and where each of its chunks starts (and the last one ends)."""
        if (kept := self._cache.get(self._pack_id, number)) is not None:
            return kept
        block = self._footer.blocks[number]
        stored = self._stored(self._block_at[number], block.stored_bytes)
        first = self._first_chunk[number]
        lengths = (length for length, _ in self._footer.chunks[first : first + block.chunks])
        starts = list(accumulate(lengths, initial=0))
        try:
            raw = _decompress(self._seal.open(number, stored), block.raw_bytes)
        except SealError as error:
            raise self._damaged(f"block {number} can't be opened: {error}") from error
        except ZstdError as error:
            raise self._damaged(f"block {number} can't be unpacked: {error}") from error
        if len(raw) != block.raw_bytes or starts[-1] != block.raw_bytes:
            raise self._damaged(f"block {number} unpacks to {len(raw)} bytes, not to those of its chunks")
        unpacked = memoryview(raw), starts
        self._cache.add(self._pack_id, number, unpacked)
        return unpacked

    def _stored(self, offset: int, length: int) -> memoryview:
        if self._whole is not None:
            return self._whole[offset : offset + length]
        return self._pread(offset, length)

    def _pread(self, offset: int, length: int) -> memoryview:
        parts: list[bytes] = []
        while length:
            try:
                part = os.pread(self._fd, length, offset)
            except OSError as error:
                raise from_os_error(f"Pack {self._path} could not be read", error) from error
            if not part:
                raise self._damaged(f"it ends at byte {offset}")
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))

    def _damaged(self, why: str) -> ImageDamaged:
        return ImageDamaged(
            f"Pack {self._path} is damaged: {why}. Savepoints that need it can't be loaded; "
            "others may be good, and a backup copy of this file restores them."
        )
