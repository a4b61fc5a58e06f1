"""setting_*: named JSON values that all executions share."""

from __future__ import annotations

from typing import Any

from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.ports import Database
from controller.services import Services
from controller.values import packed, parsed


class SettingCalls:
    """Settings; a load of a savepoint leaves them as they are."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def handlers(self) -> dict[str, Handler]:
        return {
            "setting_get": self.get,
            "setting_save": self.save,
            "setting_exists": self.exists,
            "setting_delete": self.delete,
        }

    async def get(self, call: FlowCall) -> Any:
        name = call.name()
        value = await self._services.db(Database.setting, name)
        if value is None:
            raise _missing(name)
        return parsed(value)

    async def save(self, call: FlowCall) -> None:
        await self._services.db(Database.save_setting, call.name(), packed(call.argument("value")))

    async def exists(self, call: FlowCall) -> bool:
        return await self._services.db(Database.setting, call.name()) is not None

    async def delete(self, call: FlowCall) -> None:
        name = call.name()
        if not await self._services.db(Database.delete_setting, name):
            raise _missing(name)


def _missing(name: str) -> CallFailed:
    return CallFailed("ResourceNotFoundError", f"there is no setting {name!r}; save it first")
