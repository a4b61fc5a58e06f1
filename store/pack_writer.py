"""Writing one pack: chunks are gathered into blocks, compressed, sealed, and written to a temporary file."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from zstandard import ZstdCompressor

from store import pack
from store.errors import translated
from store.seal import Keyring

# 16 pages. Four times as much compresses 3% better, but whoever needs one page has to unpack them all, and after many
# savepoints most blocks are needed for few.
BLOCK_BYTES: Final = 64 * 1024
# Levels 2 and 3 save another 3% of a Python heap and take 15-25% longer.
_LEVEL: Final = 1
# From here on blocks are compressed in threads, beside the reading and hashing; below, starting threads costs more.
_THREADS_FROM_BYTES: Final = 8 * 1024 * 1024
_THREADS: Final = min(4, os.cpu_count() or 1)
# Blocks handed to the threads and not written yet: bounds the memory of a large put.
_IN_FLIGHT: Final = 4 * _THREADS
_WRITE_BYTES: Final = 1024 * 1024

_local = threading.local()


def compress(data: bytes | bytearray) -> bytes:
    """One zstd frame, by this thread's compressor (they can't be shared, and making one costs 0.1 ms)."""
    compressor: ZstdCompressor | None = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = ZstdCompressor(level=_LEVEL)
    return compressor.compress(data)


class PackWriter:
    """A pack in the making. As a context manager: leaving it removes the temporary file unless it was moved away."""

    def __init__(self, path: Path, keys: Keyring) -> None:
        self.path = path
        head, self._seal = pack.begin(keys)
        self._fd: int | None = None
        self._block = bytearray()
        self._block_chunks = 0
        self._blocks: list[pack.Block] = []
        self._chunks: list[tuple[int, bytes]] = []
        self._unwritten: list[bytes] = [head]
        self._unwritten_bytes = len(head)
        self._ended_blocks = 0
        self._threads: ThreadPoolExecutor | None = None
        self._compressing: deque[tuple[int, int, Future[bytes]]] = deque()
        self._raw_bytes = 0
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        if self._fd is not None:
            os.close(self._fd)
            # After a rename there is none; where it can't be removed, the next collection takes it.
            with suppress(OSError):
                self.path.unlink()

    def __len__(self) -> int:
        """Chunks so far."""
        return len(self._chunks)

    def add(self, data: memoryview, digest: bytes) -> int:
        """Append a chunk, which is copied; answers its index in the pack."""
        self._chunks.append((len(data), digest))
        self._block += data
        self._block_chunks += 1
        if len(self._block) >= BLOCK_BYTES:
            self._end_block()
        return len(self._chunks) - 1

    def finish(self, *, sync: bool) -> bytes:
        """Write what remains and the footer; answers the pack's id. sync: on return it is on the disk.

        The file is still the temporary one: the caller moves it to its name.
        """
        if self._block:
            self._end_block()
        while self._compressing:
            self._take_compressed()
        footer = pack.Footer(self._blocks, self._chunks).encode(self._seal)
        self._write(footer)
        self._write(pack.encode_trailer(len(footer)))
        self._flush(sync=sync)
        return pack.pack_id(footer)

    def _end_block(self) -> None:
        block, chunks = self._block, self._block_chunks
        self._block, self._block_chunks = bytearray(), 0
        number = self._ended_blocks
        self._ended_blocks += 1
        self._raw_bytes += len(block)
        if self._threads is None:
            if self._raw_bytes < _THREADS_FROM_BYTES:
                self._add_block(self._stored(number, block), len(block), chunks)
                return
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-compress")
        self._compressing.append((len(block), chunks, self._threads.submit(self._stored, number, block)))
        if len(self._compressing) > _IN_FLIGHT:
            self._take_compressed()

    def _stored(self, number: int, block: bytearray) -> bytes:
        return self._seal.seal(number, compress(block))

    def _take_compressed(self) -> None:
        raw_bytes, chunks, future = self._compressing.popleft()
        self._add_block(future.result(), raw_bytes, chunks)

    def _add_block(self, stored: bytes, raw_bytes: int, chunks: int) -> None:
        self._blocks.append(pack.Block(len(stored), raw_bytes, chunks))
        self._write(stored)

    def _write(self, data: bytes) -> None:
        self._unwritten.append(data)
        self._unwritten_bytes += len(data)
        if self._unwritten_bytes >= _WRITE_BYTES:
            self._flush()

    def _flush(self, *, sync: bool = False) -> None:
        data = memoryview(b"".join(self._unwritten))
        self._unwritten.clear()
        self._unwritten_bytes = 0
        self.size_bytes += len(data)
        with translated(f"Pack {self.path} could not be written"):
            if self._fd is None:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            while data:
                data = data[os.write(self._fd, data) :]
            if sync:
                os.fsync(self._fd)
