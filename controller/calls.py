"""The journal of Flow-API calls: each is carried out once, whoever loses a connection meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import faults
from controller import errors
from controller.flow_calls.call import FLOW_ERRORS, CallFailed, FlowCall, Handler
from controller.ids import new_id
from controller.live import Live, OpenCall
from controller.model import Call, CallKey, Json, Outcome
from controller.ports import Database
from controller.services import Services
from controller.values import packed, parsed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call as the flow made it. seq counts its calls from 1; args is a JSON object."""

    branch: int
    seq: int
    name: str
    args: Json
    file: str
    line: int
    function: str
    redo_of_savepoint_id: str


class Calls:
    """Carries calls out by the handlers registered under their names."""

    def __init__(self, services: Services, handlers: Mapping[str, Handler]) -> None:
        self._services = services
        self._handlers = handlers

    async def carry_out(self, execution_id: str, request: CallRequest) -> Outcome:
        """The call's outcome, however long that takes. Repeating it joins the one under way or gives what was recorded.

        A caller that goes away does not stop it. Calls of a branch that was left get silence.
        """
        live = self._services.live.get(execution_id)
        if live is None or live.ended.is_set():
            return Outcome(halt=True, end=True)
        if request.branch == live.branch + 1 and live.loading is not None:
            # The restored tree is quicker than the record of its restore.
            await asyncio.shield(live.loading)
        if request.branch != live.branch:
            return Outcome(halt=True)
        key = CallKey(execution_id, request.branch, request.seq)
        call = live.calls.get(key) or self._begin(live, self._call(live, key, request))
        try:
            return await asyncio.shield(call.task)
        except asyncio.CancelledError:
            if not call.task.cancelled():
                raise
            return Outcome(halt=True, end=live.ended.is_set())

    async def carry_on(self, live: Live) -> None:
        """The open calls of one whose agent is not there to ask for them."""
        for call in await self._services.db(Database.open_calls, live.execution_id, live.branch):
            if call.key not in live.calls:
                self._begin(live, call)

    def _begin(self, live: Live, call: Call) -> OpenCall:
        work = self._services.background(self._journaled(live, call), f"call {call.name} of {live.execution_id}")
        begun = live.calls[call.key] = OpenCall(call.name, work)
        work.add_done_callback(lambda _: live.calls.pop(call.key, None))
        return begun

    def _call(self, live: Live, key: CallKey, request: CallRequest) -> Call:
        idempotency_key = f"{key.execution_id}-{key.branch}-{key.seq}"
        return Call(
            key,
            request.name,
            request.args,
            request.file,
            request.line,
            request.function,
            self._services.clock.now(),
            # A flow that took another way after a recovery may give the number to another call.
            f"{idempotency_key}-{new_id()}" if live.recovered else idempotency_key,
            request.redo_of_savepoint_id,
        )

    async def _journaled(self, live: Live, call: Call) -> Outcome:
        """What was recorded of a call that is repeated holds: its time, its idempotency key, its outcome."""
        services = self._services
        faults.reach("controller.call.row.before")
        begun = await services.db(Database.begin_call, call, recovered=live.recovered)
        if begun.outcome is not None:
            return begun.outcome
        faults.reach("controller.call.row.after")
        services.changes.notify(live.execution_id)
        outcome = await self._carried_out(live, begun.call)
        faults.reach("controller.call.outcome.before")
        await services.insist(Database.complete_call, call.key, outcome)
        faults.reach("controller.call.outcome.after")
        return outcome

    async def _carried_out(self, live: Live, call: Call) -> Outcome:
        """Each failure becomes an exception of the flow, except that of a database that takes nothing just now."""
        try:
            handler = self._handlers.get(call.name)
            if handler is None:
                words = f"this controller does not know the call {call.name!r}; upgrade it"
                return Outcome(error_type="InternalError", error_message=words)
            result = await handler(FlowCall(live, call, self._arguments(call)))
            if isinstance(result, Outcome):
                return result
            return Outcome(value=self._checked_value(call.name, result))
        except errors.FlowsnapError as error:
            if error.not_recorded:
                # The agent asks again, and the call is carried out once more, as when the controller had died.
                raise
            return Outcome(error_type=FLOW_ERRORS.get(type(error), "InternalError"), error_message=str(error))
        except Exception as error:  # noqa: BLE001  a bug in a handler must not leave the flow waiting
            error_type = getattr(error, "error_type", None)
            if isinstance(error_type, str):
                return Outcome(error_type=error_type, error_message=str(getattr(error, "message", error)))
            _log.exception("call %s of execution %s failed", call.name, call.key.execution_id)
            return Outcome(
                error_type="InternalError",
                error_message=f"{call.name}: {type(error).__name__}: {error}; the controller's log has the details",
            )

    def _arguments(self, call: Call) -> dict[str, Any]:
        limit = self._services.config.max_value_bytes
        if len(call.args) > limit:
            raise CallFailed(
                "InvalidInputError", f"{call.name}: its arguments have {len(call.args)} bytes, the limit is {limit}"
            )
        try:
            arguments = parsed(call.args or b"{}")
        except ValueError as error:
            raise CallFailed("InvalidInputError", f"{call.name}: its arguments are no JSON: {error}") from error
        if not isinstance(arguments, dict):
            raise CallFailed("InvalidInputError", f"{call.name}: its arguments are no JSON object")
        return arguments

    def _checked_value(self, name: str, result: object) -> Json:
        value, limit = packed(result), self._services.config.max_value_bytes
        if len(value) > limit:
            raise CallFailed(
                "InvalidInputError", f"{name}: its result has {len(value)} bytes, the limit is {limit}; ask for less"
            )
        return value
