"""get, save, set_output, log: fields of executions, and the output value of the one that calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from controller.flow_calls.call import FlowCall, Handler
from controller.model import Execution, ExecutionType, LogLine
from controller.ports import Database
from controller.redaction import mask
from controller.services import Services
from controller.values import checked_name, packed, parsed

# Each savepoint keeps the output value of its moment, so what log() adds to it has to stay small; the log itself is
# never cut.
LOGGING_ENTRIES = 200
# More than the threads of a flow that stand in a call at once.
_OPEN_CALLS = 64
_SAVED_FIELDS = frozenset({"message", "name", "output_value"})
# Of another execution: what it answers is its own business, what it is given is settled once it was started.
_SAVED_OF_OTHERS = frozenset({"message", "name"})
_SAVED_OF_HELD = frozenset({"input_value", "message", "name"})


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def shown_input(execution: Execution) -> Any:
    """What it was given; of a connector's call without the secrets that stand in it."""
    value = parsed(execution.input_value)
    return mask(value) if execution.type is ExecutionType.TASK else value


_FIELDS: Mapping[str, Callable[[Execution], Any]] = {
    "id": lambda execution: execution.id,
    "name": lambda execution: execution.name,
    "type": lambda execution: execution.type.value,
    "status": lambda execution: execution.status.value,
    "message": lambda execution: execution.message,
    "input_value": shown_input,
    "output_value": lambda execution: parsed(execution.output_value),
    "created_at": lambda execution: _time(execution.created_at),
    "started_at": lambda execution: _time(execution.started_at),
    "ended_at": lambda execution: _time(execution.ended_at),
    "flow_name": lambda execution: execution.flow_name,
    "flow_version": lambda execution: execution.flow_version,
    "container_image": lambda execution: execution.container_image,
    "parent_id": lambda execution: execution.parent_id,
    "branch": lambda execution: execution.branch,
    "load_count": lambda execution: execution.load_count,
    "forked_from": lambda execution: None if execution.forked_from is None else asdict(execution.forked_from),
}


def fields_of(execution: Execution) -> dict[str, Any]:
    """All fields that a flow can get, as JSON values; times in ISO 8601."""
    return {name: read(execution) for name, read in _FIELDS.items()}


class FieldCalls:
    """Reads and writes records: of the execution that calls, and of those that it names by id."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def handlers(self) -> dict[str, Handler]:
        return {"get": self.get, "load": self.get, "save": self.save, "set_output": self.set_output, "log": self.log}

    async def get(self, call: FlowCall) -> dict[str, Any]:
        names = call.items("fields") or list(_FIELDS)
        unknown = [name for name in names if not isinstance(name, str) or name not in _FIELDS]
        if unknown:
            raise call.invalid(f"there is no field {unknown[0]!r}; there are {', '.join(_FIELDS)}")
        execution = await self._services.execution(call.text("execution", default=call.execution_id))
        return {name: _FIELDS[name](execution) for name in names}

    async def save(self, call: FlowCall) -> None:
        services, fields = self._services, call.mapping("fields")
        execution_id = call.text("execution", default=call.execution_id)
        allowed = _SAVED_FIELDS
        if execution_id != call.execution_id:
            execution = await services.execution(execution_id)
            allowed = _SAVED_OF_HELD if execution.held else _SAVED_OF_OTHERS
        if unknown := sorted(fields.keys() - allowed):
            raise call.invalid(f"the field {unknown[0]!r} can't be saved; only {', '.join(sorted(allowed))} can")
        message = call_text(call, fields["message"]) if "message" in fields else None
        name = None
        if "name" in fields:
            name = checked_name(call_text(call, fields["name"], "name"), "save: the execution's name")
        if "output_value" in fields:
            await self._change_output(call, lambda _: fields["output_value"])
        await services.db(
            Database.set_fields,
            execution_id,
            message=message,
            name=name,
            input_value=packed(fields["input_value"]) if "input_value" in fields else None,
        )
        services.changes.notify(execution_id)

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


def call_text(call: FlowCall, value: object, what: str = "message") -> str:
    if not isinstance(value, str):
        raise call.invalid(f"{what!r} has to be text, not {type(value).__name__}")
    return value


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
