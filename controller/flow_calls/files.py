"""file_*: named files that all executions share."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from controller.files import Files
from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.ports import Database
from controller.services import Services


class FileCalls:
    """Files; their content crosses the API in base64, the script library turns it into text or bytes."""

    def __init__(self, services: Services, files: Files) -> None:
        self._services = services
        self._files = files

    def handlers(self) -> dict[str, Handler]:
        return {
            "file_get": self.get,
            "file_show": self.show,
            "file_save": self.save,
            "file_exists": self.exists,
            "file_delete": self.delete,
            "file_list": self.list,
        }

    async def get(self, call: FlowCall) -> str:
        name = call.name()
        content = await self._services.db(Database.file, name)
        if content is None:
            raise _missing(name)
        return base64.b64encode(content).decode()

    async def show(self, call: FlowCall) -> dict[str, Any]:
        """All but the content."""
        name = call.name()
        info = await self._services.db(Database.file_info, name)
        if info is None:
            raise _missing(name)
        return {
            "name": info.name,
            "size_bytes": info.size_bytes,
            "created_at": info.created_at.isoformat(),
            "modified_at": info.modified_at.isoformat(),
        }

    async def save(self, call: FlowCall) -> None:
        name = call.name()
        try:
            content = base64.b64decode(call.text("content_base64"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise call.invalid(f"'content_base64' is not base64: {error}") from error
        await self._files.put(name, content)

    async def exists(self, call: FlowCall) -> bool:
        return await self._services.db(Database.file_info, call.name()) is not None

    async def delete(self, call: FlowCall) -> None:
        name = call.name()
        if not await self._services.db(Database.delete_file, name):
            raise _missing(name)

    async def list(self, call: FlowCall) -> dict[str, Any]:
        found, following = await self._files.list(call.filter(), call.text("after", default=""))
        return {"records": [info.name for info in found], "next": following}


def _missing(name: str) -> CallFailed:
    return CallFailed("ResourceNotFoundError", f"there is no file {name!r}; save it first")
