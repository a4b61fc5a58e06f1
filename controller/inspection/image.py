"""The files of a savepoint image, as CRIU and the agent frame them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message

from controller.inspection.errors import Unreadable
from controller.ports import ImageView

# The first word of a CRIU image in format 1.1; the kind of image follows. Both are the same for all of one name.
_FRAMED: Final = (0x54564319, 0x55105940)
_WORD: Final = struct.Struct("<I")
# A page map of a fragmented heap of many GB.
_LARGEST_FILE_BYTES: Final = 64 << 20
_ENTRIES: Final = 1_000_000

M = TypeVar("M", bound=Message)
H = TypeVar("H", bound=Message)


class Image:
    """One image. Raises Unreadable for what is not framed or encoded as it should be."""

    def __init__(self, files: ImageView) -> None:
        self._files = files
        self._names = frozenset(files.names())

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return self._files.size(self._known(name))

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a file; fewer than length where it ends."""
        return self._files.read(self._known(name), offset, length)

    def page_digests(self, name: str) -> Sequence[bytes]:
        """Of each 4096 bytes of a file what names their content."""
        return self._files.page_digests(self._known(name))

    def entries(self, name: str, message: type[M]) -> list[M]:
        """All entries of one of CRIU's images; none when the image hasn't that file."""
        return [_parsed(name, message, data) for data in self._framed(name)]

    def entry(self, name: str, message: type[M]) -> M:
        """The first entry."""
        for data in self._framed(name):
            return _parsed(name, message, data)
        raise Unreadable(f"{name}: it is missing or empty")

    def headed(self, name: str, head: type[H], message: type[M]) -> tuple[H, list[M]]:
        """The first entry, which is of another kind, and the others."""
        framed = self._framed(name)
        if not framed:
            raise Unreadable(f"{name}: it is missing or empty")
        return _parsed(name, head, framed[0]), [_parsed(name, message, data) for data in framed[1:]]

    def json(self, name: str) -> Any:
        """A JSON file of the agent's."""
        try:
            return json.loads(self._whole(name))
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"{name}: {error}") from error

    def _framed(self, name: str) -> list[bytes]:
        return list(_frames(name, self._whole(name))) if name in self._names else []

    def _known(self, name: str) -> str:
        if name not in self._names:
            raise Unreadable(f"{name}: the image hasn't that file")
        return name

    def _whole(self, name: str) -> bytes:
        size = self.size(name)
        if size > _LARGEST_FILE_BYTES:
            raise Unreadable(f"{name}: {size} bytes are more than it can have")
        return self.read(name, 0, size)


def _frames(name: str, data: bytes) -> Iterator[bytes]:
    if len(data) < _WORD.size:
        raise Unreadable(f"{name}: it has {len(data)} bytes")
    at = 2 * _WORD.size if _WORD.unpack_from(data)[0] in _FRAMED else _WORD.size
    for _ in range(_ENTRIES):
        if at == len(data):
            return
        end = at + _WORD.size
        if end <= len(data):
            end += _WORD.unpack_from(data, at)[0]
        if end > len(data):
            raise Unreadable(f"{name}: it ends within the entry at byte {at}")
        yield data[at + _WORD.size : end]
        at = end
    raise Unreadable(f"{name}: it has more than {_ENTRIES} entries")


def _parsed(name: str, message: type[M], data: bytes) -> M:
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise Unreadable(f"{name}: {error}") from error
