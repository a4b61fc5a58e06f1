"""The manifest: what one savepoint image consists of. Its existence is the image's commit.

On disk: head ("FSMF", format version, key id, salt: see store.seal), body. The body is a zstd frame of JSON, sealed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple

from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

from store.chunk import CHUNK_BYTES, chunk_count
from store.seal import HEAD_BYTES, Keyring, SealError

_VERSION: Final = 2
SUFFIX: Final = ".manifest"

# In place of a pack's number: a run of zero pages.
ZERO_PACK: Final = -1

_MAGIC: Final = b"FSMF"
_LEVEL: Final = 1


class ManifestError(ValueError):
    """The bytes are no manifest, or not a sound one; the message says why."""


class Run(NamedTuple):
    """Chunks that lie one after the other in a pack, or as many zero pages."""

    pack: int  # number in the manifest's packs, or ZERO_PACK
    first: int
    chunks: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file: its path below the folder, with '/', its size, and its chunks in order."""

    name: str
    size_bytes: int
    runs: Sequence[Run]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One savepoint image. Folders are listed parents first; the root is not."""

    savepoint_id: str
    lineage: str
    packs: Sequence[bytes]  # ids
    folders: Sequence[str]
    files: Sequence[StoredFile]

    @property
    def raw_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    def encode(self, keys: Keyring) -> bytes:
        """The manifest file's bytes."""
        text = json.dumps(
            {
                "savepoint": self.savepoint_id,
                "lineage": self.lineage,
                "packs": [pack.hex() for pack in self.packs],
                "folders": list(self.folders),
                "files": [[file.name, file.size_bytes, list(chain.from_iterable(file.runs))] for file in self.files],
            },
            separators=(",", ":"),
        )
        body = ZstdCompressor(level=_LEVEL).compress(text.encode("ascii"))
        head, seal = keys.begin(_MAGIC, _VERSION)
        return head + seal.seal(0, body)


def decode(data: bytes, savepoint_id: str, keys: Keyring) -> Manifest:
    """Verify and read the manifest file of that savepoint. Raises ManifestError."""
    try:
        body = keys.resume(data[:HEAD_BYTES], _MAGIC, _VERSION, "manifest").open(0, data[HEAD_BYTES:])
    except SealError as error:
        raise ManifestError(str(error)) from error
    try:
        manifest = _from_json(json.loads(ZstdDecompressor().decompress(body)))
    except (ZstdError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"its body can't be read: {error}") from error
    if manifest.savepoint_id != savepoint_id:
        raise ManifestError(f"it is that of savepoint {manifest.savepoint_id}")
    _check_names(manifest)
    for file in manifest.files:
        _check_runs(file, len(manifest.packs))
    return manifest


def _from_json(body: Any) -> Manifest:
    return Manifest(
        savepoint_id=body["savepoint"],
        lineage=body["lineage"],
        packs=[bytes.fromhex(pack) for pack in body["packs"]],
        folders=body["folders"],
        files=[StoredFile(name, size, list(_runs(flat))) for name, size, flat in body["files"]],
    )


def _runs(flat: Sequence[int]) -> Iterator[Run]:
    numbers = iter(flat)
    return (Run(pack, first, chunks) for pack, first, chunks in zip(numbers, numbers, numbers, strict=True))


def _check_names(manifest: Manifest) -> None:
    """Every path stays below the folder, and stands in a folder that is listed before."""
    folders = {""}
    for name in manifest.folders:
        _check_name(name, folders)
        folders.add(name)
    taken = set(folders)
    for file in manifest.files:
        _check_name(file.name, folders)
        if file.name in taken:
            raise ManifestError(f"it names {file.name!r} twice")
        taken.add(file.name)


def _check_name(name: object, folders: set[str]) -> None:
    if not isinstance(name, str) or "\0" in name:
        raise ManifestError(f"{name!r} is not a file name")
    parent, _, last = name.rpartition("/")
    if last in {"", ".", ".."} or name.startswith("/") or parent not in folders:
        raise ManifestError(f"{name!r} is not a safe path below the image's folder")


def _check_runs(file: StoredFile, packs: int) -> None:
    chunks = 0
    for run in file.runs:
        if not ZERO_PACK <= run.pack < packs or run.first < 0 or run.chunks < 1:
            raise ManifestError(f"{file.name!r} has a run of chunks that can't be: {run}")
        if run.pack == ZERO_PACK and (chunks + run.chunks) * CHUNK_BYTES > file.size_bytes:
            raise ManifestError(f"{file.name!r} has zero pages beyond its end")
        chunks += run.chunks
    if chunks != chunk_count(file.size_bytes):
        raise ManifestError(f"{file.name!r} has {chunks} chunks, which is not what {file.size_bytes} bytes have")
