"""Chunks: how files are cut, how a chunk is named, and where it lies.

A location is one integer: the number of a pack in some table of packs, shifted left by 32, plus the chunk's index in
that pack. Neighbouring chunks have neighbouring locations, so that runs are found by counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from blake3 import blake3
from xxhash import xxh3_128_digest

# A page: CRIU's pages-N.img is an array of them, so an unchanged page is found again wherever it moved.
CHUNK_BYTES: Final = 4096
# Files below this are one chunk each: CRIU's small images rarely change in part, and a chunk per page would cost more.
SMALL_FILE_BYTES: Final = 16 * 1024

DIGEST_BYTES: Final = 32

# Location of a page of zeros, which is stored nowhere.
ZERO: Final = -1


def digest_of(data: bytes | bytearray | memoryview) -> bytes:
    """BLAKE3, 32 bytes."""
    return blake3(data).digest()


def digests_of(chunks: Sequence[memoryview], known: Mapping[bytes, bytes], seen: dict[bytes, bytes]) -> list[bytes]:
    """The digest of each, as digest_of; known and seen map an XXH3 checksum to the digest.

    XXH3 takes a twelfth of BLAKE3's time, and most pages did not change since the last image. Whoever makes two pages
    of one checksum on purpose damages savepoints of their own lineage alone: no other looks into this mapping.
    """
    checksums = [xxh3_128_digest(chunk) for chunk in chunks]
    digests = [known.get(checksum) or blake3(chunk).digest() for checksum, chunk in zip(checksums, chunks, strict=True)]
    seen.update(zip(checksums, digests, strict=True))
    return digests


ZERO_DIGEST: Final = digest_of(bytes(CHUNK_BYTES))

_INDEX_BITS: Final = 32
_INDEX_MASK: Final = (1 << _INDEX_BITS) - 1


def location(pack: int, index: int) -> int:
    """Where chunk number index of the table's pack number pack lies."""
    return pack << _INDEX_BITS | index


def pack_of(where: int) -> int:
    """The pack's number in its table."""
    return where >> _INDEX_BITS


def index_of(where: int) -> int:
    """The chunk's index in its pack."""
    return where & _INDEX_MASK


def chunk_count(size: int) -> int:
    """How many chunks a file of that many bytes has."""
    if size < SMALL_FILE_BYTES:
        return 1 if size else 0
    return -(-size // CHUNK_BYTES)


class Runs:
    """The locations of a file's chunks in order, neighbours folded into (first location, count)."""

    __slots__ = ("_next", "pairs")

    def __init__(self) -> None:
        self.pairs: list[list[int]] = []
        self._next: int | None = None

    def extend(self, locations: Iterable[int]) -> None:
        """Add the chunks that follow."""
        pairs, following = self.pairs, self._next
        for where in locations:
            if where == following:
                pairs[-1][1] += 1
            else:
                pairs.append([where, 1])
            following = where + 1 if where >= 0 else where
        self._next = following
