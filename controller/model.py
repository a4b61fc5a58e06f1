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


class ExecutionType(enum.StrEnum):
    """What runs: a flow, a script handed over as text, or a connector's task, which has no process of its own."""

    FLOW = "FLOW"
    SCRIPT = "SCRIPT"
    TASK = "TASK"


@dataclass(frozen=True, slots=True)
class FlowFile:
    """A file that stands beside a flow's script: a helper module, a template. path is relative, with slashes."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Flow:
    """What an execution runs, never changed. name: the script's file name, which tracebacks show.

    The version is the SHA-256, hexadecimal, of the text; of all files with their names where there are several.
    """

    name: str
    version: str
    script: str
    files: tuple[FlowFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a flow under the name by which it is run; the highest number is the one that runs."""

    name: str
    number: int  # 1, 2, 3... within its name
    version: str
    created_at: datetime


# Of a RetryRule: the newest savepoint, whatever its name.
LATEST = "latest"
MAX_RETRIES = 1000
MAX_BACKOFF_S = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class RetryRule:
    """What becomes of an execution that fails: so many loads of the newest savepoint of that name."""

    retries: int
    savepoint: str = LATEST
    backoff_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Filter:
    """Of a listing: records whose field compares so with the value. op: eq, ne, lt, le, gt, ge, in, like."""

    field: str
    op: str
    value: object


@dataclass(frozen=True, slots=True)
class ForkedFrom:
    """Where a fork comes from; the execution may have been deleted since. index: from 0 among forks made together."""

    execution_id: str
    savepoint_id: str
    savepoint: int  # its number there
    name: str
    index: int


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
    recovery_count: int = 0
    strikes: int = 0  # how often its process was lost in a row with the same newest savepoint
    strike_savepoint_id: str | None = None
    own_losses: int = 0  # how often its process was lost by its own doing, since the newest load by an operator
    parked: bool = False  # it waits without a container
    retry_limit: int = 0
    retry_from: str = "latest"
    retry_backoff_s: float = 0.0
    retry_count: int = 0
    retry_at: datetime | None = None  # it failed, and is loaded again then
    type: ExecutionType = ExecutionType.FLOW
    parent_id: str | None = None  # the execution that started it
    depth: int = 0  # how many executions stand above it
    origin: str = ""  # idempotency key of the call that made it: a repeated call finds its child again
    held: bool = False  # made with run=False, and nobody started it yet
    error_type: str = ""  # of a task that failed: the exception that its parent gets
    container_image_name: str = ""  # what the image was called when it was chosen; container_image is its content id
    forked_from_execution_id: str | None = None
    forked_from_savepoint_id: str = ""
    forked_from_number: int = 0
    forked_from_name: str = ""
    fork_index: int = 0

    @property
    def retry_rule(self) -> RetryRule:
        return RetryRule(self.retry_limit, self.retry_from, self.retry_backoff_s)

    @property
    def forked_from(self) -> ForkedFrom | None:
        """None: it is no fork."""
        if self.forked_from_execution_id is None:
            return None
        return ForkedFrom(
            self.forked_from_execution_id,
            self.forked_from_savepoint_id,
            self.forked_from_number,
            self.forked_from_name,
            self.fork_index,
        )


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
    last_seq: int = 0  # of the newest call that the flow had made then
    image_dir: str = ""  # the folder that it was committed from: a repeated commit finds what the first recorded


@dataclass(frozen=True, slots=True)
class SavepointTrace:
    """What retention looks at of a savepoint."""

    id: str
    number: int
    name: str
    kind: SavepointKind
    branch: int
    call: str
    created_at: datetime
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class KeepRule:
    """Which savepoints of an execution are kept; None: a wider rule decides.

    newest: so many implicit ones, 0 for all; one_in: of older ones those with a multiple of it as number, 0 for none;
    max_age_s: implicit ones go when they are older; max_number and max_bytes: quotas; 0 for no limit.
    """

    newest: int | None = None
    one_in: int | None = None
    max_age_s: int | None = None
    max_number: int | None = None
    max_bytes: int | None = None


class KeepScope(enum.StrEnum):
    """Whose rule it is, the widest first."""

    DEFAULT = "DEFAULT"
    FLOW = "FLOW"
    EXECUTION = "EXECUTION"


@dataclass(frozen=True, slots=True)
class Retention:
    """A rule and whose it is. subject: the flow's name or the execution's id; empty for the default."""

    scope: KeepScope
    subject: str
    rule: KeepRule


@dataclass(frozen=True, slots=True)
class ExecutionQuery:
    """Of a list of executions; empty: any. text: part of a name, a flow's name or a message, or an id's beginning.

    tree: an execution, with everything below it; parent: what it started itself; forks_of: what was
    forked from it.
    """

    text: str = ""
    statuses: tuple[Status, ...] = ()
    flow_name: str = ""
    tree: str = ""
    parent: str = ""
    forks_of: str = ""
    roots_only: bool = False
    with_tasks: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """An execution as lists show it: the message cut, and without its values."""

    id: str
    name: str
    status: Status
    message: str
    flow_name: str
    type: ExecutionType
    parent_id: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    last_call: str
    last_file: str
    last_line: int
    savepoint_count: int
    load_count: int
    recovery_count: int
    parked: bool
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoreShare:
    """What an execution's savepoints added to the store when they were taken."""

    execution_id: str
    name: str
    savepoints: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class SavepointRow:
    """A savepoint as lists show it: without the output value of then."""

    id: str
    execution_id: str
    number: int
    name: str
    kind: SavepointKind
    branch: int
    parent_id: str | None
    call: str
    file: str
    line: int
    function: str
    created_at: datetime
    raw_bytes: int
    stored_bytes: int
    frozen_us: int
    dump_us: int


@dataclass(frozen=True, slots=True)
class SavepointRun:
    """A savepoint that stands for several of its branch, itself among them."""

    savepoint: SavepointRow
    count: int


@dataclass(frozen=True, slots=True)
class BranchOrigin:
    """Where a branch began: the savepoint that was loaded, and by whom."""

    branch: int
    from_number: int
    from_name: str
    from_branch: int
    by: str
    created_at: datetime
    undone: bool
    from_created_at: datetime  # the savepoint's


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
class Begun:
    """What the journal has of a call that was asked for. outcome: None while it is open."""

    call: Call
    new: bool
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a savepoint, with what undo needs to take it back.

    loaded_...: the savepoint as it was then. savepoint_id: where the branch begins, which is another one when that was
    removed; empty: all that led to it was.
    """

    id: str
    execution_id: str
    savepoint_id: str
    loaded_id: str
    loaded_number: int
    loaded_name: str
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
class UsageSample:
    """What an execution used: processor time until then, and memory and processes at that instant.

    One that was thinned stands for several, with the most memory and processes of these.
    """

    time: datetime
    cpu_us: int
    memory_bytes: int
    pids: int
    container: str


@dataclass(frozen=True, slots=True)
class Connection:
    """A named connector configuration; value is a JSON object.

    secrets: a JSON object too, which is laid over the value; sealed where it is stored, empty when there are none.
    saved_by: the execution that saved it; empty: an operator.
    """

    name: str
    connector_type: str
    value: Json
    secrets: bytes = b""
    saved_by: str = ""


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """A setting without its value. locked_by: the execution that holds its lock, empty when none does."""

    name: str
    size_bytes: int
    created_at: datetime
    modified_at: datetime
    locked_by: str


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file without its content."""

    name: str
    size_bytes: int
    created_at: datetime
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held; it outlives its holder. call_branch and call_seq: the call that got it."""

    name: str
    execution_id: str
    call_branch: int
    call_seq: int
    acquired_at: datetime
    handed_by: str = ""  # idempotency key of the release that handed it over


@dataclass(frozen=True, slots=True)
class LockRequest:
    """What became of a request: granted, or another holds the lock."""

    granted: bool
    holder: str


@dataclass(frozen=True, slots=True)
class Written:
    """Whether a setting was written. holder: the other execution whose lock forbids it; empty: there is no setting."""

    done: bool
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A text or a form for people; response is None until somebody answered."""

    id: str
    execution_id: str
    subject: str
    body: Json  # a JSON schema, which the response has to meet
    created_at: datetime
    origin: str  # idempotency key of the call that made it: a repeated call finds its message again
    response: Json | None = None
    answered_at: datetime | None = None
    answered_by: str = ""


class Missed(enum.StrEnum):
    """What becomes of a schedule's runs that were due while no controller ran."""

    SKIP = "SKIP"
    RUN_ONCE = "RUN_ONCE"
    RUN_ALL = "RUN_ALL"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Starts a flow at times. Either cron, in its time zone, or interval_s is given."""

    name: str
    flow_name: str
    script: str  # empty: the pushed flow of that name
    input_value: Json
    cron: str
    timezone: str
    interval_s: int
    missed: Missed
    enabled: bool
    created_at: datetime
    next_run_at: datetime | None  # None: there is no further one
    starting_at: datetime | None = None  # the due time of a run that is being started
    last_run_at: datetime | None = None
    last_execution_id: str = ""
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Starts a flow for an HTTP request. key_hash: SHA-256, hexadecimal."""

    name: str
    flow_name: str
    script: str  # empty: the pushed flow of that name
    key_hash: str
    synchronous: bool
    timeout_s: int  # how long a synchronous request waits for the end
    created_at: datetime
