"""file_*: named files that all executions share."""

from __future__ import annotations

import base64
import binascii

from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.ports import Database
from controller.services import Services


class FileCalls:
    """Files; their content crosses the API in base64, the script library turns it into text or bytes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def handlers(self) -> dict[str, Handler]:
        return {
            "file_get": self.get,
            "file_save": self.save,
            "file_exists": self.exists,
            "file_delete": self.delete,
        }

    async def get(self, call: FlowCall) -> str:
        name = call.name()
        content = await self._services.db(Database.file, name)
        if content is None:
            raise _missing(name)
        return base64.b64encode(content).decode()

    async def save(self, call: FlowCall) -> None:
        name = call.name()
        try:
            content = base64.b64decode(call.text("content_base64"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise call.invalid(f"'content_base64' is not base64: {error}") from error
        await self._services.db(Database.save_file, name, content)

    async def exists(self, call: FlowCall) -> bool:
        return await self._services.db(Database.file, call.name()) is not None

    async def delete(self, call: FlowCall) -> None:
        name = call.name()
        if not await self._services.db(Database.delete_file, name):
            raise _missing(name)


def _missing(name: str) -> CallFailed:
    return CallFailed("ResourceNotFoundError", f"there is no file {name!r}; save it first")
