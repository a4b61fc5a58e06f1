"""Files: named contents outside the execution."""

from __future__ import annotations

import binascii
import json

from flow_api import exceptions
from flow_api._channel import Channel

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any


class File:
    """A named content of any kind."""

    __slots__ = ("_channel", "name")

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel = channel
        self.name = name

    def __repr__(self) -> str:
        return f"<file {self.name!r}>"

    def get(self, *fields: str) -> Any:
        """One field, the content as text by default, or a tuple of several. Raises ResourceNotFoundError.

        Fields: content (text, UTF-8), content_bytes, content_base64, name, size_bytes, created_at, modified_at.
        """
        encoded: str | None = None
        record: dict[str, Any] = {"name": self.name}
        for field in fields or ("content",):
            if field in record:
                continue
            if field in {"content", "content_bytes", "content_base64"}:
                if encoded is None:
                    encoded = self._channel.call("file_get", {"name": self.name})
                record[field] = _decoded(self.name, encoded, field)
                continue
            record.update(self._channel.call("file_show", {"name": self.name}))
            if field not in record:
                raise exceptions.InvalidInputError(f"a file has no field {field!r}")
        values = tuple(record[field] for field in fields or ("content",))
        return values[0] if len(values) == 1 else values

    def load(self, *fields: str) -> Any:
        """As get: nothing of a file is kept here."""
        return self.get(*fields)

    def get_text_content(self) -> str:
        """The content as text, UTF-8. Raises InvalidInputError when it is none."""
        return str(self.get("content"))

    def get_bytes_content(self) -> bytes:
        """The content."""
        return bytes(self.get("content_bytes"))

    def get_base64_content(self) -> str:
        """The content, base64."""
        return str(self.get("content_base64"))

    def save(
        self,
        content: Any = None,
        *,
        content_bytes: bytes | None = None,
        content_base64: str | None = None,
    ) -> File:
        """Create or replace, from text, bytes or base64; anything else is kept as JSON text."""
        if content_base64 is None:
            if content_bytes is None:
                if isinstance(content, bytes | bytearray | memoryview):
                    content_bytes = bytes(content)
                else:
                    content_bytes = (content if isinstance(content, str) else json.dumps(content)).encode()
            content_base64 = binascii.b2a_base64(content_bytes, newline=False).decode()
        self._channel.call("file_save", {"name": self.name, "content_base64": content_base64})
        return self

    def save_text_content(self, content: str) -> File:
        """Create or replace, from text."""
        return self.save(content)

    def save_bytes_content(self, content: bytes) -> File:
        """Create or replace, from bytes."""
        return self.save(content_bytes=content)

    def save_base64_content(self, content: str) -> File:
        """Create or replace, from base64."""
        return self.save(content_base64=content)

    def exists(self) -> bool:
        """Whether there is one of that name."""
        return bool(self._channel.call("file_exists", {"name": self.name}))

    def delete(self) -> None:
        """Raises ResourceNotFoundError."""
        self._channel.call("file_delete", {"name": self.name})


def _decoded(name: str, encoded: str, field: str) -> str | bytes:
    if field == "content_base64":
        return encoded
    raw = binascii.a2b_base64(encoded)
    if field == "content_bytes":
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise exceptions.InvalidInputError(
            f"file {name!r} is not UTF-8 text ({error.reason} at byte {error.start}); get content_bytes instead"
        ) from error
