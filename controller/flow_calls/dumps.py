"""create_dump and load_dump: savepoints as the script asks for them."""

from __future__ import annotations

from controller.endings import Endings
from controller.errors import FlowsnapError, ResourceExhausted
from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.flow_calls.savepoints import selector_of
from controller.loads import Loads, Request
from controller.model import Outcome, SavepointKind, Status
from controller.ports import Database
from controller.retention import Retentions
from controller.savepoints import Savepoints, Selector
from controller.services import Services
from controller.thinning import DUMP_CALLS


class DumpCalls:
    """Names savepoints, and goes back to them."""

    def __init__(
        self, services: Services, savepoints: Savepoints, loads: Loads, endings: Endings, retentions: Retentions
    ) -> None:
        self._services = services
        self._savepoints = savepoints
        self._loads = loads
        self._endings = endings
        self._retentions = retentions

    def handlers(self) -> dict[str, Handler]:
        return {**dict.fromkeys(DUMP_CALLS, self.create_dump), "load_dump": self.load_dump}

    async def create_dump(self, call: FlowCall) -> str:
        """Gives the savepoint of this very call its name; the agent has committed it before. Answers its id."""
        name = "" if call.args.get("name") is None else call.name()
        services, redo_of = self._services, call.call.redo_of_savepoint_id
        if redo_of:
            savepoint = await services.db(Database.savepoint, redo_of)
        else:
            savepoint = await services.db(Database.savepoint_at_call, call.call.key)
        if savepoint is None:
            raise CallFailed("SavepointError", f"{call.call.name}: there is no savepoint of this call; make it again")
        # A redo of a call that never got this far names it now; all others leave it as it was.
        if savepoint.kind is SavepointKind.CALL and savepoint.call in DUMP_CALLS:
            try:
                await self._retentions.check_quota(call.execution_id, savepoint.id)
            except ResourceExhausted as error:
                raise CallFailed("SavepointError", f"{call.call.name}: {error}") from error
            await services.db(Database.name_savepoint, savepoint.id, name, SavepointKind.EXPLICIT)
        services.changes.notify(call.execution_id)
        return savepoint.id

    async def load_dump(self, call: FlowCall) -> Outcome:
        """Waits until the load has taken this very call away; returns only when it failed, with its words."""
        selector, max_times = selector_of(call), self._max_times(call)
        services = self._services
        execution = await services.execution(call.execution_id)
        try:
            savepoint = await self._savepoints.resolve(execution, selector)
        except FlowsnapError as error:
            raise CallFailed("ResourceNotFoundError", str(error)) from error
        if max_times is not None and savepoint.script_loads >= max_times:
            raise CallFailed(
                "SavepointLoopError",
                f"savepoint {savepoint.number} was loaded {savepoint.script_loads} times by load_dump,"
                f" max_times is {max_times}",
            )
        limit = services.config.script_load_limit
        if execution.script_load_count >= limit:
            message = (
                f"load_dump was called {execution.script_load_count + 1} times, the limit of one execution is {limit};"
                f" see {call.call.file}:{call.call.line}, and give load_dump a max_times"
            )
            ended = await self._endings.end(call.live, Status.ENDED_ERROR, message, branch=call.call.key.branch)
            return Outcome(halt=True, end=ended)
        request = Request("script", Selector(savepoint.id, "id"), branch=call.call.key.branch)
        try:
            await self._loads.load(call.execution_id, request)
        except FlowsnapError as error:
            raise CallFailed("SavepointError", f"load_dump: {error}") from error
        return Outcome(halt=True)

    def _max_times(self, call: FlowCall) -> int | None:
        value = call.args.get("max_times")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise call.invalid(f"max_times has to be a whole number of at least 0, not {value!r}")
        return value
