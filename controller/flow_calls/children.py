"""flow, script, task, connect, run, wait_for: an execution's children."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from controller.children import Children, ReturnWhen, first_failed
from controller.errors import FailedPrecondition
from controller.executions import NewExecution
from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.flow_calls.fields import fields_of
from controller.model import Execution, ExecutionType, Status
from controller.ports import Database
from controller.services import Services
from controller.tasks import Target
from controller.values import MAX_NAME_CHARACTERS, packed
from controller.waits import time_limit, waiting

_INIT_FIELDS: Mapping[str, type] = {
    "name": str,
    "container_image": str,
    "memory_limit_bytes": int,
    "pids_limit": int,
}
# What a parent is told of a child that goes on, and of one that has ended.
_BRIEF = ("id", "name", "type")
_ENDED = (*_BRIEF, "status", "message", "output_value", "started_at", "ended_at")


class ChildCalls:
    """Calls that make children answer each child's fields; what they wait for decides whether they raise."""

    def __init__(self, services: Services, children: Children) -> None:
        self._services = services
        self._children = children

    def handlers(self) -> dict[str, Handler]:
        return {
            "flow": self.flow,
            "script": self.script,
            "task": self.connect,
            "connect": self.connect,
            "run": self.run,
            "wait_for": self.wait_for,
        }

    async def flow(self, call: FlowCall) -> dict[str, Any]:
        match call.mapping("flow"):
            case {"name": str(name)}:
                return await self._child(call, {"pushed": name})
            case {"id": str(version)}:
                return await self._child(call, {"pushed_version": version})
        raise call.invalid(f"a flow is named by 'name' or by 'id', not by {call.args['flow']!r}")

    async def script(self, call: FlowCall) -> dict[str, Any]:
        text = call.text("script")
        return await self._child(call, {"script": text, "flow_name": "script.py", "type": ExecutionType.SCRIPT})

    async def connect(self, call: FlowCall) -> dict[str, Any]:
        target = Target(call.text("connection", default=""), call.text("connector_type", default=""))
        if not isinstance(call.args.get("inputs"), dict | None):
            raise call.invalid("the inputs of a connector have to be an object")
        if target == Target():
            raise CallFailed("MissingInputError", f"{call.call.name}: name a connection, or give a connector_type")
        name = (target.connection or target.connector_type)[:MAX_NAME_CHARACTERS]
        new, held, return_when = self._new(call, {"name": name}), *self._start(call)
        child = await self._children.make_task(call.execution_id, target, new, call.call.idempotency_key, held=held)
        return await self._answer(call, child, return_when)

    async def run(self, call: FlowCall) -> dict[str, Any]:
        """Start one that was made with run=False."""
        return_when = self._return_when(call)
        try:
            child = await self._children.start(call.text("execution"))
        except FailedPrecondition as error:
            raise call.invalid(str(error)) from error
        return await self._answer(call, child, return_when)

    async def wait_for(self, call: FlowCall) -> list[dict[str, Any]]:
        """Answers all of them, ended or not."""
        ids = [str(item) for item in call.items("executions")]
        if call.execution_id in ids:
            raise call.invalid("an execution can't wait for its own end")
        return list(map(_told, await self._wait(call, ids, self._return_when(call) or "ALL_SUCCEEDED")))

    async def _child(self, call: FlowCall, what: dict[str, Any]) -> dict[str, Any]:
        new, held, return_when = self._new(call, what), *self._start(call)
        child = await self._children.make(call.execution_id, new, call.call.idempotency_key, held=held)
        return await self._answer(call, child, return_when)

    def _start(self, call: FlowCall) -> tuple[bool, ReturnWhen | None]:
        """Whether it is held, and what is waited for; read before anything is made."""
        held, return_when = not call.flag("run", default=True), self._return_when(call)
        return held, None if held else return_when

    async def _answer(self, call: FlowCall, child: Execution, return_when: ReturnWhen | None) -> dict[str, Any]:
        return _told(child if return_when is None else (await self._wait(call, [child.id], return_when))[0])

    async def _wait(self, call: FlowCall, ids: list[str], return_when: ReturnWhen) -> Sequence[Execution]:
        timeout_s = call.seconds("timeout")
        try:
            async with waiting(self._services, call, Status.WAITING_CHILD):
                found = await self._children.wait(ids, return_when, time_limit(self._services, call, timeout_s))
        except TimeoutError as error:
            raise CallFailed("DependencyTimeoutError", await self._late(call, ids, timeout_s or 0)) from error
        except FailedPrecondition as error:
            raise call.invalid(str(error)) from error
        failed = first_failed(found) if return_when == "ALL_SUCCEEDED" else None
        if failed is not None:
            raise _failure(failed)
        return found

    async def _late(self, call: FlowCall, ids: list[str], timeout_s: float) -> str:
        present = await self._services.db(Database.executions, ids)
        running = [f"{one.name} ({one.status})" for one in present if not one.status.ended]
        return f"{call.call.name}: not ended within {timeout_s:g} s: {', '.join(running)}"

    def _return_when(self, call: FlowCall) -> ReturnWhen | None:
        """None: don't wait."""
        value = call.args.get("wait", "ALL_SUCCEEDED")
        for known in get_args(ReturnWhen):
            if value == known or (value is True and known == "ALL_SUCCEEDED"):
                return_when: ReturnWhen = known
                return return_when
        if value is False or value is None:
            return None
        raise call.invalid(f"wait is True, False, or one of {', '.join(get_args(ReturnWhen))}, not {value!r}")

    def _new(self, call: FlowCall, what: dict[str, Any]) -> NewExecution:
        init = call.args.get("init") or {}
        if not isinstance(init, dict):
            raise call.invalid("init has to be an object of fields")
        if unknown := sorted(map(str, init.keys() - _INIT_FIELDS.keys())):
            raise call.invalid(f"init: there is no field {unknown[0]!r}; there are {', '.join(_INIT_FIELDS)}")
        for name, value in init.items():
            if not isinstance(value, _INIT_FIELDS[name]) or isinstance(value, bool):
                raise call.invalid(f"init: {name!r} can't be {value!r}")
        fields = {**what, **init}
        if call.args.get("name") is not None:
            fields["name"] = call.name()
        return NewExecution(**fields, input_value=packed(call.args.get("inputs")))


def _told(execution: Execution) -> dict[str, Any]:
    fields = fields_of(execution)
    return {name: fields[name] for name in (_ENDED if execution.status.ended else _BRIEF)}


def _failure(child: Execution) -> CallFailed:
    """A connector's own exception; for all others DependencyFailedError with the child's message."""
    if child.error_type:
        return CallFailed(child.error_type, child.message)
    words = f"execution {child.name!r} ({child.id}) ended with {child.status}"
    return CallFailed("DependencyFailedError", f"{words}: {child.message}" if child.message else words)
