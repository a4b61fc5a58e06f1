"""Values on their way to the platform."""

from __future__ import annotations

from flow_api import exceptions

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any


def plain(value: object) -> object:
    """A value as JSON can hold it; anything else as its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else repr(value)  # inf and nan are not JSON
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def picked(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    """One value, a tuple of several, or all of them where none is named. Raises InvalidInputError."""
    if not names:
        return fields
    for name in names:
        if name not in fields:
            raise exceptions.InvalidInputError(f"there is no field {name!r}; there are {', '.join(fields)}")
    if len(names) == 1:
        return fields[names[0]]
    return tuple(fields[name] for name in names)
