"""Flows and executions as scripts look them up, and the environment's name."""

from __future__ import annotations

from typing import Any

from controller.errors import NotFound
from controller.executions import Executions
from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.flow_calls.fields import fields_of
from controller.flows import Flows
from controller.services import Services

PAGE = 100
# What never changes of an execution: all other fields are asked for.
_FIXED = ("id", "name", "type")


class CatalogueCalls:
    """Reads only. Listings are paged: {"records": [...], "next": where the next page begins, empty on the last}."""

    def __init__(self, services: Services, executions: Executions, flows: Flows) -> None:
        self._services = services
        self._executions = executions
        self._flows = flows

    def handlers(self) -> dict[str, Handler]:
        return {
            "flow_get": self.flow,
            "flow_exists": self.flow_exists,
            "flow_list": self.flows,
            "execution_list": self.executions,
            "env_name": self.env_name,
        }

    async def flow(self, call: FlowCall) -> dict[str, Any]:
        release = await (self._flows.by_id(call.text("id")) if "id" in call.args else self._flows.newest(call.name()))
        flow = await self._flows.version(release.version)
        return {
            "id": release.version,
            "name": release.name,
            "version": release.version,
            "number": release.number,
            "created_at": release.created_at.isoformat(),
            "script": flow.script,
            "files": [file.path for file in flow.files],
        }

    async def flow_exists(self, call: FlowCall) -> bool:
        try:
            await self.flow(call)
        except NotFound:
            return False
        return True

    async def flows(self, call: FlowCall) -> dict[str, Any]:
        """Names."""
        found = await self._flows.list(call.filter(), PAGE + 1, call.text("after", default=""))
        names = [release.name for release in found[:PAGE]]
        return {"records": names, "next": names[-1] if len(found) > PAGE else ""}

    async def executions(self, call: FlowCall) -> dict[str, Any]:
        """Newest first, each with what never changes of it."""
        after = call.text("after", default="")
        page, following = await self._executions.list((), "", PAGE, after, where=call.filter())
        records = [{name: value for name, value in fields_of(one).items() if name in _FIXED} for one in page]
        return {"records": records, "next": following}

    async def env_name(self, call: FlowCall) -> str:
        if call.args:
            raise CallFailed("ExtraInputError", "get_env_name takes no arguments")
        return self._services.config.env_name
