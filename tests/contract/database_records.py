"""Records for the database tests, with every field that a test does not care about filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from controller.model import Call, CallKey, Execution, Flow, Load, Savepoint, SavepointKind, Status

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
FLOW = Flow(name="demo.py", version="v1", script="def handler(system, this):\n    return this.success('ü')\n")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class HandClock:
    """The time as a test sets it."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time


def execution(execution_id: str = "e1", **changes: Any) -> Execution:
    fields: dict[str, Any] = {
        "id": execution_id,
        "name": "demo",
        "status": Status.NEW,
        "message": "",
        "flow_name": FLOW.name,
        "flow_version": FLOW.version,
        "input_value": b'{"k": "v"}',
        "output_value": b"{}",
        "container_image": "flowsnap/execution",
        "memory_limit_bytes": 8 * 1024**3,
        "pids_limit": 512,
        "token_hash": "00",
        "created_at": START,
    }
    return Execution(**{**fields, **changes})


def savepoint(savepoint_id: str, execution_id: str = "e1", **changes: Any) -> Savepoint:
    fields: dict[str, Any] = {
        "id": savepoint_id,
        "execution_id": execution_id,
        "number": 0,
        "name": "",
        "kind": SavepointKind.CALL,
        "branch": 1,
        "parent_id": None,
        "seq": 1,
        "call": "connect",
        "file": "demo.py",
        "line": 3,
        "function": "handler",
        "open_calls": ("connect", "sleep"),
        "output_value": b"",
        "created_at": START,
        "raw_bytes": 3 * 1024**3,
        "stored_bytes": 100,
        "frozen_us": 5000,
        "dump_us": 7000,
    }
    return Savepoint(**{**fields, **changes})


def call(seq: int = 1, execution_id: str = "e1", branch: int = 1, **changes: Any) -> Call:
    fields: dict[str, Any] = {
        "key": CallKey(execution_id, branch, seq),
        "name": "connect",
        "args": b'{"name": "database"}',
        "file": "demo.py",
        "line": 3,
        "function": "handler",
        "started_at": START,
        "idempotency_key": f"{execution_id}-{branch}-{seq}",
    }
    return Call(**{**fields, **changes})


def load(load_id: str, savepoint_id: str, execution_id: str = "e1", **changes: Any) -> Load:
    fields: dict[str, Any] = {
        "id": load_id,
        "execution_id": execution_id,
        "savepoint_id": savepoint_id,
        "loaded_id": savepoint_id,
        "loaded_number": 1,
        "loaded_name": "here",
        "before_savepoint_id": None,
        "before_status": Status.ENDED_ERROR,
        "before_message": "upload failed",
        "before_output_value": b'{"out": 1}',
        "before_ended_at": at(60),
        "branch_from": 1,
        "branch_to": 2,
        "by": "operator",
        "created_at": at(90),
    }
    return Load(**{**fields, **changes})
