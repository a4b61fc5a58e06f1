"""get, save, set_output, log: an execution's fields and its output value."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from controller.flow_calls.call import CallFailed, FlowCall, Handler
from controller.model import Execution, LogLine
from controller.ports import Database
from controller.services import Services
from controller.values import packed, parsed

# Each savepoint keeps the output value of its moment, so what log() adds to it has to stay small; the log itself is
# never cut.
LOGGING_ENTRIES = 200
# More than the threads of a flow that stand in a call at once.
_OPEN_CALLS = 64
_SAVED_FIELDS = frozenset({"message", "output_value"})


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


_FIELDS: Mapping[str, Callable[[Execution], Any]] = {
    "id": lambda execution: execution.id,
    "name": lambda execution: execution.name,
    "type": lambda _: "EXECUTION",
    "status": lambda execution: execution.status.value,
    "message": lambda execution: execution.message,
    "input_value": lambda execution: parsed(execution.input_value),
    "output_value": lambda execution: parsed(execution.output_value),
    "created_at": lambda execution: _time(execution.created_at),
    "started_at": lambda execution: _time(execution.started_at),
    "ended_at": lambda execution: _time(execution.ended_at),
    "flow_name": lambda execution: execution.flow_name,
    "flow_version": lambda execution: execution.flow_version,
    "container_image": lambda execution: execution.container_image,
    "branch": lambda execution: execution.branch,
    "load_count": lambda execution: execution.load_count,
}


def fields_of(execution: Execution) -> dict[str, Any]:
    """All fields that a flow can get, as JSON values; times in ISO 8601."""
    return {name: read(execution) for name, read in _FIELDS.items()}


class FieldCalls:
    """Reads and writes the record of the execution that calls."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def handlers(self) -> dict[str, Handler]:
        return {"get": self.get, "save": self.save, "set_output": self.set_output, "log": self.log}

    async def get(self, call: FlowCall) -> dict[str, Any]:
        names = call.items("fields") or list(_FIELDS)
        unknown = [name for name in names if not isinstance(name, str) or name not in _FIELDS]
        if unknown:
            raise call.invalid(f"there is no field {unknown[0]!r}; there are {', '.join(_FIELDS)}")
        execution = await self._services.execution(call.execution_id)
        return {name: _FIELDS[name](execution) for name in names}

    async def save(self, call: FlowCall) -> None:
        fields = call.mapping("fields")
        if unknown := sorted(fields.keys() - _SAVED_FIELDS):
            raise call.invalid(f"the field {unknown[0]!r} can't be saved; only {', '.join(sorted(_SAVED_FIELDS))} can")
        message = call_text(call, fields["message"]) if "message" in fields else None
        if "output_value" in fields:
            await self._change_output(call, lambda _: fields["output_value"])
        if message is not None:
            await self._services.db(Database.set_fields, call.execution_id, message=message)
        self._services.changes.notify(call.execution_id)

    async def set_output(self, call: FlowCall) -> None:
        items = call.mapping("items")

        def merged(output: Any) -> Any:
            if output is not None and not isinstance(output, dict):
                raise call.invalid(
                    f"the output value is no object but {type(output).__name__}; replace it by save(output_value=...)"
                )
            return {**(output or {}), **items}

        await self._change_output(call, merged)
        self._services.changes.notify(call.execution_id)

    async def log(self, call: FlowCall) -> None:
        args, kwargs = call.items("args"), call.args.get("kwargs") or {}
        if not isinstance(kwargs, dict):
            raise call.invalid("'kwargs' has to be an object")
        now = self._services.clock.now()
        text = " ".join([*map(_shown, args), *(f"{name}={_shown(value)}" for name, value in kwargs.items())])
        await self._services.db(Database.append_log, call.execution_id, [LogLine(now, "log", text)])
        entry = {"time": now.isoformat(), "line": call.call.line, "args": args, "kwargs": kwargs}

        def with_entry(output: Any) -> Any:
            if output is not None and not isinstance(output, dict):
                return output
            kept = (output or {}).get("logging", [])
            if not isinstance(kept, list):
                return output
            return {**(output or {}), "logging": [*kept[1 - LOGGING_ENTRIES :], entry]}

        await self._change_output(call, with_entry)
        self._services.changes.notify(call.execution_id)

    async def _change_output(self, call: FlowCall, change: Callable[[Any], Any]) -> None:
        """Calls from several threads of a flow change it one after the other."""
        live = call.live
        async with live.output_lock:
            if live.output is None:
                live.output = (parsed((await self._services.execution(call.execution_id)).output_value),)
            changed = change(live.output[0])
            value, limit = packed(changed), self._services.config.max_value_bytes
            if len(value) > limit:
                raise call.invalid(f"the output value would have {len(value)} bytes, the limit is {limit}")
            live.output_before[call.call.key.seq] = packed(live.output[0])
            while len(live.output_before) > _OPEN_CALLS:
                del live.output_before[next(iter(live.output_before))]
            await self._services.db(Database.set_fields, call.execution_id, output_value=value)
            live.output = (changed,)


def call_text(call: FlowCall, value: object) -> str:
    if not isinstance(value, str):
        raise CallFailed("InvalidInputError", f"{call.call.name}: 'message' has to be text, not {type(value).__name__}")
    return value


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
