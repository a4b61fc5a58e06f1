"""The nouns of the core as plain values: execution, savepoint, call, load, log line."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

# JSON as text, UTF-8: what a flow or a client handed over, never parsed without need.
Json = bytes

NULL: Json = b"null"


class Status(enum.StrEnum):
    """Where an execution stands. Ended statuses are final until a savepoint is loaded."""

    NEW = "NEW"
    RUNNING = "RUNNING"
    SLEEPING = "SLEEPING"
    PAUSED = "PAUSED"
    ENDED_SUCCESS = "ENDED_SUCCESS"
    ENDED_ERROR = "ENDED_ERROR"
    ENDED_CANCELLED = "ENDED_CANCELLED"
    WAITING_CHILD = "WAITING_CHILD"
    WAITING_MESSAGE = "WAITING_MESSAGE"
    WAITING_LOCK = "WAITING_LOCK"

    @property
    def ended(self) -> bool:
        """No process tree belongs to it any more."""
        return self.name.startswith("ENDED")


class SavepointKind(enum.StrEnum):
    """Why a savepoint was taken."""

    CALL = "CALL"
    EXPLICIT = "EXPLICIT"
    OPERATOR = "OPERATOR"
    BEFORE_LOAD = "BEFORE_LOAD"
    PAUSE = "PAUSE"


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow's text. The version is the SHA-256 of the text, hexadecimal."""

    name: str
    version: str
    script: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a flow. Times are aware, UTC."""

    id: str
    name: str
    status: Status
    message: str
    flow_name: str
    flow_version: str
    input_value: Json
    output_value: Json
    container_image: str
    memory_limit_bytes: int
    pids_limit: int
    token_hash: str  # SHA-256 of the agent's token, hexadecimal
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    branch: int = 1
    head_savepoint_id: str | None = None  # parent of the next savepoint
    savepoint_count: int = 0  # highest number given out
    last_call: str = ""
    last_file: str = ""
    last_line: int = 0
    load_count: int = 0
    script_load_count: int = 0  # loads asked for by load_dump, against the platform-wide limit


@dataclass(frozen=True, slots=True)
class Savepoint:
    """A committed savepoint; its image is in the store under its id."""

    id: str
    execution_id: str
    number: int
    name: str
    kind: SavepointKind
    branch: int
    parent_id: str | None
    seq: int  # the call at which it was taken; 0 at another instant
    call: str
    file: str
    line: int
    function: str
    open_calls: tuple[str, ...]
    output_value: Json  # the execution's output value then, which goes back with a load; b"": taken when recorded
    created_at: datetime
    raw_bytes: int
    stored_bytes: int
    frozen_us: int
    dump_us: int
    script_loads: int = 0  # how often load_dump went back to it


@dataclass(frozen=True, slots=True)
class CallKey:
    """A call in the journal. seq is the flow's own count, which a load takes back."""

    execution_id: str
    branch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Call:
    """One Flow-API call as the journal keeps it."""

    key: CallKey
    name: str
    args: Json
    file: str
    line: int
    function: str
    started_at: datetime
    idempotency_key: str
    redo_of_savepoint_id: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: a value, an exception to raise in the flow, or silence.

    halt: the flow never hears of the call again; end: the process tree is to be killed.
    """

    value: Json = NULL
    error_type: str = ""
    error_message: str = ""
    halt: bool = False
    end: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a savepoint, with what undo needs to take it back."""

    id: str
    execution_id: str
    savepoint_id: str
    before_savepoint_id: str | None  # None: the execution had ended
    before_status: Status
    before_message: str
    before_output_value: Json
    before_ended_at: datetime | None
    branch_from: int
    branch_to: int
    by: str  # "operator", "script", "undo"
    created_at: datetime
    undone: bool = False


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an execution's log; number is 0 until the database gave it one."""

    time: datetime
    stream: str  # stdout, stderr, log, system
    text: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Connection:
    """A named connector configuration; value is a JSON object."""

    name: str
    connector_type: str
    value: Json
