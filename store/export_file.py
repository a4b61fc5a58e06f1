"""The file in which one image travels to another store, with a record of whose it is, which the store does not read.

docs/savepoint-format.md describes it to the byte.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, Protocol

from blake3 import blake3
from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

from store.chunk import DIGEST_BYTES
from store.errors import ImageDamaged, StoreError, translated

MAGIC: Final = b"FSNAP\r\n\x1a"
VERSION: Final = 1
# An output value, an input and a flow each fit, base64 and all.
RECORD_LIMIT_BYTES: Final = 256 * 1024 * 1024

_HEAD: Final = struct.Struct("<8sI")
_LENGTH: Final = struct.Struct("<I")
_PIECE_BYTES: Final = 1024 * 1024
_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the file, and how many of the image's are in it so far."""

    data: bytes
    done_bytes: int


def folder_bytes(folder: Path) -> int:
    """Of all files below it."""
    with translated(f"Image folder {folder} could not be read"):
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write(record: Mapping[str, Any], folder: Path) -> Iterator[Piece]:
    """The file, piece by piece; record: JSON values. Raises StoreError when the folder can't be read."""
    digest = blake3()

    def hashed(data: bytes, done_bytes: int) -> Piece:
        digest.update(data)
        return Piece(data, done_bytes)

    with translated(f"Image folder {folder} could not be read"):
        paths = sorted(folder.rglob("*"))
        folders = [path.relative_to(folder).as_posix() for path in paths if path.is_dir()]
        files = [path for path in paths if path.is_file()]
        sizes = [path.stat().st_size for path in files]
        names = [path.relative_to(folder).as_posix() for path in files]
        body = json.dumps(
            {"record": record, "folders": folders, "files": list(zip(names, sizes, strict=True))},
            separators=(",", ":"),
        ).encode()
        if len(body) > RECORD_LIMIT_BYTES:
            raise StoreError(f"The record of {folder} has {len(body)} bytes, the limit is {RECORD_LIMIT_BYTES}.")
        compressor = ZstdCompressor(level=_LEVEL).compressobj()
        yield hashed(_HEAD.pack(MAGIC, VERSION) + compressor.compress(_LENGTH.pack(len(body)) + body), 0)
        done = 0
        for path, size in zip(files, sizes, strict=True):
            left = size
            with path.open("rb") as file:
                while left and (part := file.read(min(left, _PIECE_BYTES))):
                    left -= len(part)
                    done += len(part)
                    if packed := compressor.compress(part):
                        yield hashed(packed, done)
            if left:
                raise StoreError(f"{path} became shorter while it was read.")
        yield hashed(compressor.flush(), done)
    yield Piece(digest.digest(), done)


class _Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Body:
    """The bytes of an open file from where it stands, without its last ones."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self._left = size_bytes

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= len(data)
        return data


class ExportFile:
    """One that was received whole. Nothing of it is looked at before its hash was found to be right."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def verify(self) -> None:
        """Raises ImageDamaged for a file that was cut short or altered, or is another kind of file; StoreError."""
        with translated(f"{self._path} could not be read"), self._path.open("rb") as file:
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size or not head.startswith(MAGIC):
                raise ImageDamaged("This is no file of `snapctl export`: it does not begin as one does.")
            version = _HEAD.unpack(head)[1]
            if version != VERSION:
                raise ImageDamaged(
                    f"The file has format {version}, and this version reads format {VERSION}. Import it by the version"
                    " that made it."
                )
            digest, body = blake3(head), _Body(file, self._body_bytes())
            while data := body.read(_PIECE_BYTES):
                digest.update(data)
            if file.read() != digest.digest():
                raise ImageDamaged("The file was cut short or altered: it does not match its hash. Copy it again.")

    def record(self) -> dict[str, Any]:
        """What write was given. Raises ImageDamaged, StoreError."""
        with translated(f"{self._path} could not be read"), self._path.open("rb") as file:
            record = self._header(self._unpacked(file))["record"]
        if not isinstance(record, dict):
            raise _malformed("its record is no object")
        return record

    def extract(self, folder: Path) -> None:
        """Write the image into an existing empty folder. Raises ImageDamaged, StoreFull, StoreError."""
        with translated(f"{self._path} could not be read"), self._path.open("rb") as file:
            source = self._unpacked(file)
            header = self._header(source)
            files = _checked(header["folders"], header["files"])
            with translated(f"Image folder {folder} could not be written"):
                for name in header["folders"]:
                    (folder / name).mkdir(mode=0o755)
                for name, size in files:
                    _copy(source, folder / name, size)
            if _read(source, 1):
                raise _malformed("there is more in it than its files")

    def _unpacked(self, file: BinaryIO) -> _Source:
        file.seek(_HEAD.size)
        body = _Body(file, self._body_bytes())
        return ZstdDecompressor().stream_reader(body, read_size=_PIECE_BYTES)  # type: ignore[arg-type]  # read is all

    def _body_bytes(self) -> int:
        return max(0, self._path.stat().st_size - _HEAD.size - DIGEST_BYTES)

    def _header(self, source: _Source) -> dict[str, Any]:
        (length,) = _LENGTH.unpack(_read_all(source, _LENGTH.size))
        if length > RECORD_LIMIT_BYTES:
            raise _malformed(f"its record has {length} bytes")
        try:
            header = json.loads(_read_all(source, length))
            missing = {"record", "folders", "files"} - header.keys()
        except (ValueError, AttributeError, RecursionError) as error:
            raise _malformed(f"its record can't be read: {error}") from error
        if missing:
            raise _malformed(f"its record lacks {', '.join(sorted(missing))}")
        return dict(header)


def _checked(folders: object, files: object) -> Sequence[tuple[str, int]]:
    """Every path stays below the folder, and stands in a folder that is listed before. Raises ImageDamaged."""
    if not isinstance(folders, list) or not isinstance(files, list):
        raise _malformed("its list of files is none")
    known = {"."}
    for name in folders:
        _check_name(name, known)
        known.add(name)
    found, taken = [], set(known)
    for entry in files:
        if not isinstance(entry, list) or [type(part) for part in entry] != [str, int] or entry[1] < 0:
            raise _malformed("its list of files has an entry that is none")
        name, size = entry
        _check_name(name, known)
        if name in taken:
            raise _malformed(f"it names {name!r} twice")
        taken.add(name)
        found.append((name, size))
    return found


def _check_name(name: object, folders: set[str]) -> None:
    if not isinstance(name, str) or "\0" in name or "\\" in name:
        raise _malformed(f"{name!r} is no file name")
    path = PurePosixPath(name)
    plain = name == str(path) and not path.is_absolute() and not {"..", "."} & set(path.parts) and name != "."
    if not plain or str(path.parent) not in folders:
        raise _malformed(f"{name!r} is no safe path below the image's folder")


def _copy(source: _Source, path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        left = size
        while left:
            part = _read(source, min(left, _PIECE_BYTES))
            if not part:
                raise _malformed(f"it ends within {path.name!r}")
            file.write(part)
            left -= len(part)


def _read_all(source: _Source, size: int) -> bytes:
    parts = []
    while size:
        part = _read(source, min(size, _PIECE_BYTES))
        if not part:
            raise _malformed("it ends within its record")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _read(source: _Source, size: int) -> bytes:
    try:
        return source.read(size)
    except ZstdError as error:
        raise _malformed(f"it can't be unpacked: {error}") from error


def _malformed(why: str) -> ImageDamaged:
    return ImageDamaged(f"The file matches its hash, but {why}: it was not made by `snapctl export`.")
