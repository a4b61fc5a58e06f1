"""`system`: what lives outside the execution and stays as it is when a savepoint is loaded."""

from __future__ import annotations

import binascii
import json

from flow_api._channel import Channel

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any


class System:
    """The platform."""

    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def setting(self, name: str) -> Setting:
        """A setting by name; nothing is read yet."""
        return Setting(self._channel, name)

    def file(self, name: str) -> File:
        """A file by name; nothing is read yet."""
        return File(self._channel, name)


class Setting:
    """A named JSON value."""

    __slots__ = ("_channel", "name")

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel = channel
        self.name = name

    def get(self, field: str = "value") -> Any:
        """The value (or "name"). Raises ResourceNotFoundError."""
        if field == "name":
            return self.name
        return self._channel.call("setting_get", {"name": self.name})

    def load(self, field: str = "value") -> Any:
        """As get, fresh from storage."""
        return self.get(field)

    def save(self, value: Any) -> Setting:
        """Create or replace."""
        self._channel.call("setting_save", {"name": self.name, "value": value})
        return self

    def exists(self) -> bool:
        """Whether there is one of that name."""
        return bool(self._channel.call("setting_exists", {"name": self.name}))

    def delete(self) -> None:
        """Raises ResourceNotFoundError."""
        self._channel.call("setting_delete", {"name": self.name})


class File:
    """A named content of any kind."""

    __slots__ = ("_channel", "name")

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel = channel
        self.name = name

    def get(self, field: str = "content") -> Any:
        """content (text), content_bytes, content_base64 or name. Raises ResourceNotFoundError."""
        if field == "name":
            return self.name
        encoded = self._channel.call("file_get", {"name": self.name})
        if field == "content_base64":
            return encoded
        raw = binascii.a2b_base64(encoded)
        return raw if field == "content_bytes" else raw.decode()

    def get_text_content(self) -> str:
        """The content as text, UTF-8."""
        return str(self.get("content"))

    def get_bytes_content(self) -> bytes:
        """The content."""
        return bytes(self.get("content_bytes"))

    def save(self, content: str | bytes | None = None, *, content_base64: str | None = None) -> File:
        """Create or replace, from text, bytes or base64; anything else is kept as JSON text."""
        if content_base64 is None:
            if not isinstance(content, str | bytes):
                content = json.dumps(content)
            raw = content.encode() if isinstance(content, str) else content
            content_base64 = binascii.b2a_base64(raw, newline=False).decode()
        self._channel.call("file_save", {"name": self.name, "content_base64": content_base64})
        return self

    def exists(self) -> bool:
        """Whether there is one of that name."""
        return bool(self._channel.call("file_exists", {"name": self.name}))

    def delete(self) -> None:
        """Raises ResourceNotFoundError."""
        self._channel.call("file_delete", {"name": self.name})
