"""Settings: named JSON values outside the execution, each of them also a lock."""

from __future__ import annotations

from flow_api import exceptions
from flow_api._channel import Channel

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any

_UNSET: Any = object()


class Setting:
    """A named JSON value, and a lock of that name."""

    __slots__ = ("_channel", "_value", "name")

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel = channel
        self._value = _UNSET  # what set() keeps for save()
        self.name = name

    def __repr__(self) -> str:
        return f"<setting {self.name!r}>"

    def get(self, *fields: str) -> Any:
        """One field, the value by default, or a tuple of several. Raises ResourceNotFoundError.

        Fields: value, name, size_bytes, created_at, modified_at, locked_by (an execution's id, or None).
        """
        return self._read(fields, self._value)

    def load(self, *fields: str) -> Any:
        """As get, without regard to what set() keeps."""
        return self._read(fields, _UNSET)

    def set(self, field: str = "value", content: Any = _UNSET, /, *, value: Any = _UNSET) -> Setting:
        """Keep a new value here, for get() and save(): set("value", 1) or set(value=1)."""
        if field != "value" or (content is _UNSET) is (value is _UNSET):
            raise exceptions.InvalidInputError("setting.set: write set(value=...) or set('value', ...)")
        self._value = value if content is _UNSET else content
        return self

    def save(self, value: Any = _UNSET) -> Setting:
        """Create or replace; without a value stores what set() keeps.

        Raises LockTimeoutError at once when another execution holds the lock: acquire() waits for it.
        """
        if value is _UNSET:
            value = self._value
        if value is _UNSET:
            raise exceptions.MissingInputError(f"setting {self.name!r}: save() needs a value, or a set() before it")
        self._channel.call("setting_save", {"name": self.name, "value": value})
        self._value = _UNSET
        return self

    def list_append(self, item: Any) -> Setting:
        """Add an item to the list that the value is, in one step; a setting that is not there begins as []."""
        self._channel.call("setting_list_append", {"name": self.name, "item": item})
        return self

    def exists(self) -> bool:
        """Whether there is one of that name."""
        return bool(self._channel.call("setting_exists", {"name": self.name}))

    def delete(self) -> None:
        """Raises ResourceNotFoundError; LockTimeoutError when another execution holds the lock."""
        self._channel.call("setting_delete", {"name": self.name})

    def acquire(self, timeout: float | None = None) -> Setting:
        """Take the lock of this name, waiting for it in the order of asking; there need be no value.

        Returns at once when this execution holds it already. Raises LockTimeoutError after timeout seconds; None waits
        without an end. The lock stays when the execution ends, until somebody releases it.
        """
        self._channel.call("setting_acquire", {"name": self.name, "timeout": timeout})
        return self

    def release(self, to: str | None = None) -> bool:
        """Give the lock to the execution whose id is given, else to who waits longest. False: it was not locked.

        The lock of an execution that has ended may be released by any; else PermissionDenied is raised.
        """
        return bool(self._channel.call("setting_release", {"name": self.name, "to": to}))

    def _read(self, fields: tuple[str, ...], kept: Any) -> Any:
        record: dict[str, Any] = {"name": self.name}
        for field in fields or ("value",):
            if field in record:
                continue
            if field == "value":
                record[field] = self._channel.call("setting_get", {"name": self.name}) if kept is _UNSET else kept
                continue
            record.update(self._channel.call("setting_show", {"name": self.name}))
            if field not in record:
                raise exceptions.InvalidInputError(f"a setting has no field {field!r}")
        values = tuple(record[field] for field in fields or ("value",))
        return values[0] if len(values) == 1 else values
