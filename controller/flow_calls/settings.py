"""setting_*: named JSON values that all executions share, and their locks."""

from __future__ import annotations

from typing import Any

from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.locks import Locks
from controller.model import Json, Written
from controller.ports import Database
from controller.services import Services
from controller.settings import Settings
from controller.values import packed, parsed


class SettingCalls:
    """Settings; a load of a savepoint leaves them, and their locks, as they are."""

    def __init__(self, services: Services, settings: Settings, locks: Locks) -> None:
        self._services = services
        self._settings = settings
        self._locks = locks

    def handlers(self) -> dict[str, Handler]:
        return {
            "setting_get": self.get,
            "setting_show": self.show,
            "setting_save": self.save,
            "setting_exists": self.exists,
            "setting_delete": self.delete,
            "setting_list": self.list,
            "setting_list_append": self.list_append,
            "setting_acquire": self.acquire,
            "setting_release": self.release,
        }

    async def get(self, call: FlowCall) -> Any:
        name = call.name()
        value = await self._services.db(Database.setting, name)
        if value is None:
            raise _missing(name)
        return parsed(value)

    async def show(self, call: FlowCall) -> dict[str, Any]:
        """All but the value."""
        name = call.name()
        info = await self._services.db(Database.setting_info, name)
        if info is None:
            raise _missing(name)
        return {
            "name": info.name,
            "size_bytes": info.size_bytes,
            "created_at": info.created_at.isoformat(),
            "modified_at": info.modified_at.isoformat(),
            "locked_by": info.locked_by or None,
        }

    async def save(self, call: FlowCall) -> None:
        name, value = call.name(), packed(call.argument("value"))
        _check(name, await self._services.db(Database.save_setting, name, value, call.execution_id))

    async def exists(self, call: FlowCall) -> bool:
        return await self._services.db(Database.setting, call.name()) is not None

    async def delete(self, call: FlowCall) -> None:
        name = call.name()
        _check(name, await self._services.db(Database.delete_setting, name, call.execution_id))

    async def list(self, call: FlowCall) -> dict[str, Any]:
        found, following = await self._settings.list(call.filter(), call.text("after", default=""))
        return {"records": [info.name for info in found], "next": following}

    async def list_append(self, call: FlowCall) -> None:
        name, item = call.name(), call.argument("item")
        limit = self._services.config.max_value_bytes

        def appended(value: Json | None) -> Json:
            items = [] if value is None else parsed(value)
            if not isinstance(items, list):
                raise call.invalid(f"the value of setting {name!r} is no list but {type(items).__name__}")
            longer = packed([*items, item])
            if len(longer) > limit:
                raise call.invalid(f"setting {name!r} would have {len(longer)} bytes, the limit is {limit}")
            return longer

        written = await self._services.db(
            Database.change_setting, name, appended, call.execution_id, completes=call.call.key
        )
        _check(name, written)

    async def acquire(self, call: FlowCall) -> None:
        await self._locks.acquire(call, call.name(), call.seconds("timeout"))

    async def release(self, call: FlowCall) -> bool:
        return await self._locks.release(call, call.name(), call.text("to", default=""))


def _check(name: str, written: Written) -> None:
    if written.holder:
        raise CallFailed(
            "LockTimeoutError",
            f"setting {name!r} is locked by execution {written.holder}; acquire() it first, which waits",
        )
    if not written.done:
        raise _missing(name)


def _missing(name: str) -> CallFailed:
    return CallFailed("ResourceNotFoundError", f"there is no setting {name!r}; save it first")
