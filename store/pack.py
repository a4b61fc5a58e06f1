"""The pack format: head, compressed and sealed blocks of chunks, and the sealed footer whose hash is the pack's id.

Layout (integers little-endian, 32 bits):

    head      "FSPK", version, key id, salt: see store.seal
    blocks    zstd frames, each sealed under its number from 0 on, back to back
    footer    sealed under the highest number: block count, chunk count;
              for each block: stored bytes, raw bytes, chunks;
              for each chunk: raw bytes, BLAKE3 of the raw bytes
    trailer   footer bytes, "KPSF"
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from store.chunk import DIGEST_BYTES, digest_of
from store.seal import Keyring, Seal, SealError

_MAGIC: Final = b"FSPK"
_VERSION: Final = 2
# No block has it: their count has 32 bits.
_FOOTER_NUMBER: Final = (1 << 32) - 1
SUFFIX: Final = ".pack"

_TRAILER: Final = struct.Struct("<I4s")
_TRAILER_MAGIC: Final = b"KPSF"
TRAILER_BYTES: Final = _TRAILER.size
_COUNTS: Final = struct.Struct("<II")
_BLOCK: Final = struct.Struct("<III")
_CHUNK: Final = struct.Struct(f"<I{DIGEST_BYTES}s")


@dataclass(frozen=True, slots=True)
class Block:
    """One zstd frame, sealed."""

    stored_bytes: int
    raw_bytes: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Footer:
    """The table of contents. Chunks are numbered through all blocks, in the order in which they lie there."""

    blocks: Sequence[Block]
    chunks: Sequence[tuple[int, bytes]]  # raw bytes, digest

    def encode(self, seal: Seal) -> bytes:
        """The footer's bytes as they are stored; their hash is the pack's id."""
        parts = [_COUNTS.pack(len(self.blocks), len(self.chunks))]
        parts += [_BLOCK.pack(b.stored_bytes, b.raw_bytes, b.chunks) for b in self.blocks]
        parts += [_CHUNK.pack(length, digest) for length, digest in self.chunks]
        return seal.seal(_FOOTER_NUMBER, b"".join(parts))


def begin(keys: Keyring) -> tuple[bytes, Seal]:
    """The head of a new pack, and its seal."""
    return keys.begin(_MAGIC, _VERSION)


def resume(keys: Keyring, head: bytes) -> Seal:
    """The seal of a pack with that head. Raises SealError."""
    return keys.resume(head, _MAGIC, _VERSION, "pack")


def parse_footer(stored: bytes, expected_id: bytes, seal: Seal) -> Footer:
    """Verify and read what encode wrote. Raises ValueError when it is not the footer of the pack with that id."""
    if pack_id(stored) != expected_id:
        raise ValueError("the footer does not match the pack's id")
    try:
        data = seal.open(_FOOTER_NUMBER, stored)
    except SealError as error:
        raise ValueError(f"the footer can't be opened: {error}") from error
    if len(data) < _COUNTS.size:
        raise ValueError(f"the footer has {len(data)} bytes")
    block_count, chunk_count = _COUNTS.unpack_from(data)
    chunks_at = _COUNTS.size + block_count * _BLOCK.size
    if len(data) != chunks_at + chunk_count * _CHUNK.size:
        raise ValueError(
            f"the footer has {len(data)} bytes, which doesn't fit {block_count} blocks, {chunk_count} chunks"
        )
    view = memoryview(data)
    blocks = [Block(*fields) for fields in _BLOCK.iter_unpack(view[_COUNTS.size : chunks_at])]
    chunks = list(_CHUNK.iter_unpack(view[chunks_at:]))
    if sum(block.chunks for block in blocks) != chunk_count:
        raise ValueError("the footer's blocks don't add up to its chunks")
    return Footer(blocks, chunks)


def encode_trailer(footer_bytes: int) -> bytes:
    """What ends a pack."""
    return _TRAILER.pack(footer_bytes, _TRAILER_MAGIC)


def parse_trailer(data: bytes) -> int:
    """The footer's length in bytes. Raises ValueError when these bytes end no pack."""
    if len(data) != TRAILER_BYTES:
        raise ValueError("the file is too short")
    footer_bytes, magic = _TRAILER.unpack(data)
    if magic != _TRAILER_MAGIC:
        raise ValueError("the file doesn't end as a pack does")
    return int(footer_bytes)


def pack_id(footer: bytes) -> bytes:
    """The id of the pack with that footer, 32 bytes."""
    return digest_of(footer)
