"""savepoints, take_savepoint, load_savepoint: savepoints of executions that a script names, mostly its children."""

from __future__ import annotations

from typing import Any

from controller.errors import FlowsnapError, NotFound
from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.loads import Loads, Request
from controller.model import Savepoint
from controller.savepoints import Savepoints, Selector
from controller.services import Services


class SavepointCalls:
    """What an operator can do with them, for scripts."""

    def __init__(self, services: Services, savepoints: Savepoints, loads: Loads) -> None:
        self._services = services
        self._savepoints = savepoints
        self._loads = loads

    def handlers(self) -> dict[str, Handler]:
        return {"savepoints": self.list, "take_savepoint": self.take, "load_savepoint": self.load}

    async def list(self, call: FlowCall) -> list[dict[str, Any]]:
        """By number, ascending."""
        execution = await self._services.execution(call.text("execution", default=call.execution_id))
        return [_told(savepoint) for savepoint in await self._savepoints.list(execution.id)]

    async def take(self, call: FlowCall) -> str:
        """Answers its id."""
        name = "" if call.args.get("name") is None else call.name()
        try:
            return (await self._savepoints.create(self._other(call), name)).id
        except NotFound:
            raise
        except FlowsnapError as error:
            raise CallFailed("SavepointError", f"{call.call.name}: {error}") from error

    async def load(self, call: FlowCall) -> None:
        """Returns when the other execution goes on from there."""
        selector = selector_of(call)
        try:
            await self._loads.load(self._other(call), Request("operator", selector))
        except NotFound:
            raise
        except FlowsnapError as error:
            raise CallFailed("SavepointError", f"{call.call.name}: {error}") from error

    def _other(self, call: FlowCall) -> str:
        execution_id = call.text("execution")
        if execution_id == call.execution_id:
            raise call.invalid("that is this execution itself: use this.create_dump() and this.load_dump()")
        return execution_id


def selector_of(call: FlowCall) -> Selector:
    """By "id": a number within the execution or an id; by "name": the newest of that name."""
    by, selector = call.text("by", default="id"), call.argument("selector")
    if by == "id" and isinstance(selector, int) and not isinstance(selector, bool):
        return Selector(str(selector), "id")
    if by not in {"id", "name"} or not isinstance(selector, str):
        raise call.invalid("by is 'id', with a number or an id, or 'name', with a name")
    return Selector(selector, "id" if by == "id" else "name")


def _told(savepoint: Savepoint) -> dict[str, Any]:
    return {
        "id": savepoint.id,
        "number": savepoint.number,
        "name": savepoint.name,
        "kind": savepoint.kind.value,
        "branch": savepoint.branch,
        "call": savepoint.call,
        "file": savepoint.file,
        "line": savepoint.line,
        "created_at": savepoint.created_at.isoformat(),
    }
