"""Settings: named JSON values that all executions share, for operators."""

from __future__ import annotations

from collections.abc import Sequence

from controller.errors import FailedPrecondition, NotFound
from controller.model import Filter, Json, SettingInfo, Written
from controller.ports import Database
from controller.services import Services
from controller.values import checked_json, checked_name

PAGE = 100


class Settings:
    """Saved, read, listed and deleted; a setting that an execution has locked is left alone."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def save(self, name: str, value: Json) -> None:
        """Create or replace. Raises InvalidArgument, FailedPrecondition while an execution holds its lock."""
        checked_name(name, "the setting's name")
        value = checked_json(value, f"the value of setting {name!r}", self._services.config.max_value_bytes)
        self._check(name, await self._services.db(Database.save_setting, name, value))

    async def get(self, name: str) -> tuple[SettingInfo, Json]:
        """Raises NotFound."""
        info = await self._services.db(Database.setting_info, name)
        value = await self._services.db(Database.setting, name)
        if info is None or value is None:
            raise _missing(name)
        return info, value

    async def exists(self, name: str) -> bool:
        return await self._services.db(Database.setting_info, name) is not None

    async def list(self, where: Filter | None, page_token: str) -> tuple[Sequence[SettingInfo], str]:
        """By name, without values, with the token of the next page, empty on the last."""
        found = await self._services.db(Database.settings, where, PAGE + 1, page_token)
        return found[:PAGE], found[PAGE - 1].name if len(found) > PAGE else ""

    async def delete(self, name: str) -> None:
        """Raises NotFound, FailedPrecondition while an execution holds its lock."""
        self._check(name, await self._services.db(Database.delete_setting, name))

    def _check(self, name: str, written: Written) -> None:
        if written.holder:
            raise FailedPrecondition(
                f"setting {name!r} is locked by execution {written.holder}; wait until it releases the lock, or take"
                f" it away with `snapctl lock release`"
            )
        if not written.done:
            raise _missing(name)


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no setting {name!r}; see `snapctl setting ls`")
