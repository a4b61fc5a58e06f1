"""What the core needs from outside, as protocols; the edges (db, launcher, connectors, api, store) provide them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from controller.model import (
    Begun,
    BranchOrigin,
    Call,
    CallKey,
    Connection,
    Execution,
    ExecutionQuery,
    ExecutionRow,
    FileInfo,
    Filter,
    Flow,
    Json,
    KeepScope,
    Load,
    Lock,
    LockRequest,
    LogLine,
    Message,
    Outcome,
    Release,
    Retention,
    RetryRule,
    Savepoint,
    SavepointKind,
    SavepointRow,
    SavepointRun,
    SavepointTrace,
    Schedule,
    SettingInfo,
    Status,
    StoreShare,
    UsageSample,
    Webhook,
    Written,
)


class Database(Protocol):
    """Durable records. Each method is one transaction and blocks: the core calls it through a worker thread.

    Methods that change a status compare first and say with False that somebody else was quicker.
    """

    def add_execution(self, execution: Execution, flow: Flow, savepoint: Savepoint | None = None) -> None:
        """Record both, and the savepoint that it begins from; a flow version that exists already stays as it is.

        Raises AlreadyExists for a used id.
        """

    def execution(self, execution_id: str) -> Execution | None: ...

    def find_executions(self, reference: str) -> Sequence[Execution]:
        """All whose id equals or starts with the reference, or whose name equals it; newest first."""

    def executions(self, execution_ids: Sequence[str]) -> Sequence[Execution]:
        """Those of them that there are, in no special order."""

    def children(self, execution_id: str) -> Sequence[Execution]:
        """What it started, oldest first."""

    def child_of_call(self, execution_id: str, origin: str) -> Execution | None:
        """The child that a call of it made before, by the call's idempotency key."""

    def list_executions(
        self,
        statuses: Sequence[Status],
        flow_name: str,
        limit: int,
        before: str,
        *,
        where: Filter | None = None,
        with_tasks: bool = True,
    ) -> Sequence[Execution]:
        """Newest first; before: the id after which to go on, empty for the first page."""

    def flow(self, version: str) -> Flow | None: ...

    def add_release(self, name: str, flow: Flow) -> Release:
        """Make the version the newest of that name; what is the newest already is answered as it is."""

    def releases(self, name: str) -> Sequence[Release]:
        """Of one name, newest first."""

    def release_of(self, version: str) -> Release | None:
        """The newest of that version."""

    def newest_releases(self, where: Filter | None, limit: int, after: str) -> Sequence[Release]:
        """The newest of each name, by name; after: the name after which to go on."""

    def delete_releases(self, name: str) -> bool:
        """Forget the name; the versions stay for the executions that run them."""

    def set_status(
        self, execution_id: str, expected: Sequence[Status], status: Status, message: str | None = None
    ) -> bool:
        """Compare and set; sets started_at on the first RUNNING and ended_at on an ended status (cleared otherwise).

        message None leaves it. False: the status was none of the expected ones, and nothing changed.
        """

    def set_fields(
        self,
        execution_id: str,
        *,
        message: str | None = None,
        output_value: Json | None = None,
        name: str | None = None,
        input_value: Json | None = None,
    ) -> None:
        """None leaves a field as it is."""

    def release_held(self, execution_id: str) -> bool:
        """It is about to be started; False: somebody else was quicker, or it was cancelled."""

    def end_task(self, execution_id: str, status: Status, message: str, output_value: Json, error_type: str) -> bool:
        """Record how a running task ended; False: it was not running any more.

        One whose parent was removed meanwhile goes, too.
        """

    def delete_orphaned_tasks(self) -> None:
        """Those without a parent that are not running."""

    def set_last_call(self, execution_id: str, name: str, file: str, line: int) -> None: ...

    def set_retry_rule(self, execution_id: str, rule: RetryRule) -> None:
        """Retries that were made count against it."""

    def put_off(self, execution_id: str, message: str, retry_at: datetime) -> bool:
        """It sleeps until it is tried again, which is counted. False: it had ended."""

    def count_strike(self, execution_id: str, *, own: bool) -> tuple[int, int]:
        """Its process was lost: how often in a row since its newest savepoint, and how often by its own doing."""

    def begin_recovery(self, execution_id: str, savepoint_id: str | None, *, counted: bool = True) -> Execution:
        """It goes on from there on its branch, None: from its beginning. counted: after a fault."""

    def set_parked(self, execution_id: str, *, parked: bool) -> None: ...

    def delete_execution(self, execution_id: str) -> None:
        """With its savepoints, calls, loads, log, and tasks that are not running."""

    def add_savepoint(self, savepoint: Savepoint) -> Savepoint:
        """Commit the row: gives it the next number, sets parent_id from the execution's head, an empty output_value
        from the execution, and makes it the head (when its branch is still the execution's). Answers what was recorded.
        """

    def name_savepoint(self, savepoint_id: str, name: str, kind: SavepointKind) -> None: ...

    def savepoint(self, savepoint_id: str) -> Savepoint | None: ...

    def savepoint_at_call(self, key: CallKey) -> Savepoint | None: ...

    def savepoint_of_dump(self, key: CallKey, image_dir: str) -> Savepoint | None:
        """What was committed from that folder; the key's seq is 0 for a dump at no call."""

    def savepoints(self, execution_id: str) -> Sequence[Savepoint]:
        """By number, ascending."""

    def savepoint_ids(self) -> Sequence[str]:
        """Of all executions: what garbage collection keeps."""

    def savepoint_traces(self, execution_id: str) -> Sequence[SavepointTrace]:
        """By number, ascending."""

    def savepoint_counts(self) -> Sequence[tuple[str, str, int]]:
        """Execution, its flow's name, and how many savepoints it has, where it has any."""

    def needed_by_undo(self, execution_id: str) -> Sequence[tuple[str | None, int]]:
        """Of each load that can be undone: the savepoint of before, None for one that had ended, and the branch."""

    def remove_savepoints(self, execution_id: str, savepoint_ids: Sequence[str]) -> Sequence[str]:
        """Their children get the nearest ancestor that stays as parent. Answers which were removed.

        What is the execution's head, or what an undo goes back to, stays.
        """

    def set_retention(self, retention: Retention) -> None:
        """Create or replace."""

    def retentions(self) -> Sequence[Retention]:
        """By scope, the widest first, and subject."""

    def retention_rules(self, flow_name: str, execution_id: str) -> Sequence[Retention]:
        """Those that say something on the execution."""

    def delete_retention(self, scope: KeepScope, subject: str) -> bool: ...

    def begin_call(self, call: Call, *, recovered: bool = False) -> Begun:
        """Record an open call, or answer a repeated one as it was recorded; the outcome is None while it is open.

        Sets the execution's last_call, last_file and last_line too. recovered: the first of the lost calls that
        equals this one becomes it.
        """

    def open_calls(self, execution_id: str, branch: int) -> Sequence[Call]:
        """Of a branch, in the flow's order."""

    def lose_calls(self, execution_id: str, branch: int, last_seq: int) -> None:
        """Take those after last_seq out of the flow's count; it is about to make them again, or others."""

    def complete_call(self, key: CallKey, outcome: Outcome) -> bool:
        """Record the outcome of an open call; False when it was completed or abandoned before."""

    def abandon_calls(self, execution_id: str, branch: int) -> None:
        """Mark the open calls of a branch that was left."""

    def begin_branch(
        self, load: Load, savepoint: Savepoint, status: Status, output_value: Json, undoes: str = ""
    ) -> Execution:
        """Record a load that succeeded: new branch, head, counters, status, message cleared. One transaction.

        undoes: the id of the load that it takes back.
        """

    def undo_to_ended(self, load: Load, mark: str) -> Execution:
        """Put the ended status, message, output and end time of before the load back; mark: the undone load's id."""

    def loads(self, execution_id: str) -> Sequence[Load]:
        """Oldest first."""

    def append_log(self, execution_id: str, lines: Sequence[LogLine]) -> None: ...

    def read_log(self, execution_id: str, after_number: int, limit: int) -> Sequence[LogLine]: ...

    def add_usage(self, execution_id: str, samples: Sequence[UsageSample]) -> None:
        """Record what a container used; its processor time is added to that of those before it.

        Bounded: when there are too many, the older ones are thinned. Nothing when the execution is gone.
        """

    def usage(self, execution_id: str) -> Sequence[UsageSample]:
        """Oldest first, with the processor time of all its containers."""

    def save_connection(self, connection: Connection) -> None: ...

    def connection(self, name: str) -> Connection | None: ...

    def connections(self) -> Sequence[Connection]: ...

    def delete_connection(self, name: str) -> bool: ...

    def setting(self, name: str) -> Json | None: ...

    def setting_info(self, name: str) -> SettingInfo | None: ...

    def settings(self, where: Filter | None, limit: int, after: str) -> Sequence[SettingInfo]:
        """By name; after: the name after which to go on."""

    def save_setting(self, name: str, value: Json, by: str = "") -> Written:
        """Create or replace; by: the execution that writes, whose own lock does not hinder it."""

    def change_setting(self, name: str, change: Callable[[Json | None], Json], by: str, completes: CallKey) -> Written:
        """Replace the value by what change makes of it (None: there is none), and complete the call, in one step."""

    def delete_setting(self, name: str, by: str = "") -> Written: ...

    def file(self, name: str) -> bytes | None: ...

    def file_info(self, name: str) -> FileInfo | None: ...

    def files(self, where: Filter | None, limit: int, after: str) -> Sequence[FileInfo]:
        """By name; after: the name after which to go on."""

    def save_file(self, name: str, content: bytes) -> None: ...

    def delete_file(self, name: str) -> bool: ...

    def lock(self, name: str) -> Lock | None: ...

    def locks(self) -> Sequence[tuple[Lock, Sequence[str]]]:
        """By name, each with the executions that wait for it, the next one first."""

    def request_lock(self, name: str, key: CallKey) -> LockRequest:
        """Take the lock when it is free or the execution's own; else queue up, keeping the place that it has."""

    def withdraw_lock(self, name: str, key: CallKey) -> bool:
        """Leave the queue; True: the lock was handed over just before, to this very execution."""

    def call_off_lock(self, name: str, key: CallKey) -> str:
        """The call that asked is no more: leave the queue, and pass on what it was given meanwhile; answers to whom."""

    def release_lock(self, name: str, holder: str, *, to: str = "", handed_by: str = "") -> str | None:
        """Take the lock from its holder; answers who has it now. None: the holder is another by now."""

    def add_message(self, message: Message) -> Message:
        """Record it, or answer the one that the same call recorded before."""

    def message(self, message_id: str) -> Message | None: ...

    def messages(self, where: Filter | None, limit: int, before: str) -> Sequence[Message]:
        """Newest first; before: the id after which to go on."""

    def open_message_count(self) -> int: ...

    def answer_message(self, message_id: str, response: Json, answered_by: str, at: datetime) -> bool:
        """False: it was answered before, or deleted."""

    def delete_message(self, message_id: str) -> bool: ...

    def save_schedule(self, schedule: Schedule) -> None: ...

    def schedule(self, name: str) -> Schedule | None: ...

    def schedules(self) -> Sequence[Schedule]: ...

    def due_schedules(self, now: datetime) -> Sequence[Schedule]:
        """Enabled ones whose next run is due, and those with a run that was being started when a controller died."""

    def next_run(self) -> datetime | None:
        """The earliest of all enabled schedules."""

    def claim_run(self, schedule: Schedule, starting_at: datetime | None, next_run_at: datetime | None) -> bool:
        """Move to the next run, remembering which is being started. False: it was changed or claimed meanwhile."""

    def finish_run(self, name: str, at: datetime, *, execution_id: str = "", error: str = "") -> None: ...

    def delete_schedule(self, name: str) -> bool: ...

    def save_webhook(self, webhook: Webhook) -> None: ...

    def webhook(self, name: str) -> Webhook | None: ...

    def webhooks(self) -> Sequence[Webhook]: ...

    def delete_webhook(self, name: str) -> bool: ...

    def counts(self) -> tuple[int, int, int]:
        """Executions, those not ended, savepoints."""

    def execution_rows(self, query: ExecutionQuery, limit: int, offset: int) -> Sequence[ExecutionRow]:
        """Newest first."""

    def execution_ids(self, query: ExecutionQuery, limit: int) -> Sequence[str]:
        """Newest first."""

    def execution_counts(self, query: ExecutionQuery) -> Mapping[Status, int]:
        """How many the query finds of each status, whatever statuses it asks for."""

    def store_shares(self, limit: int) -> Sequence[StoreShare]:
        """The largest first."""

    def flow_names(self, limit: int) -> Sequence[str]:
        """Of all executions, by name."""

    def savepoint_row(self, savepoint_id: str) -> SavepointRow | None: ...

    def savepoint_rows(
        self, execution_id: str, text: str, limit: int, offset: int, *, named: bool = False
    ) -> tuple[Sequence[SavepointRow], int]:
        """Newest first, with how many there are in all; text: part of a name, a call or a file; named: only those."""

    def savepoint_runs(self, execution_id: str, first: int, last: int, step: int) -> Sequence[SavepointRun]:
        """Savepoints with numbers from first to last, in runs: of one branch, at most step numbers; by number.

        A run's savepoint is its newest named one, else its newest.
        """

    def branch_origins(self, execution_id: str) -> Sequence[BranchOrigin]:
        """Where each branch but the first began, oldest first."""

    def named_savepoints(self, execution_id: str, limit: int) -> Sequence[SavepointRow]:
        """The newest of each name, newest first."""

    def log_within(
        self, execution_id: str, spans: Sequence[tuple[datetime, datetime | None]], limit: int
    ) -> tuple[Sequence[LogLine], int]:
        """The first lines that were written after the one time and not after the other, if it is one, of any of the
        spans; with how many there are in all.
        """

    def read_log_back(
        self, execution_id: str, before_number: int | None, limit: int, text: str = ""
    ) -> Sequence[LogLine]:
        """The newest lines with a smaller number that have the text, ascending; None: the newest of all."""

    def add_web_token(self, token_hash: str, kind: str, now: datetime, expires_at: datetime) -> None:
        """Record the hash of a link or a session."""

    def has_web_token(self, token_hash: str, kind: str, now: datetime) -> bool: ...

    def take_web_token(self, token_hash: str, kind: str, now: datetime | None) -> bool:
        """Delete it; False: there was none, or it had expired at now."""

    def web_tokens(self, kind: str, now: datetime) -> Sequence[tuple[str, datetime]]:
        """Hashes, with when each expires; the newest first."""

    def delete_web_tokens(self) -> int:
        """All of them; answers how many there were."""


class StoredImage(Protocol):
    """What putting an image into the store came to."""

    @property
    def raw_bytes(self) -> int: ...

    @property
    def stored_bytes(self) -> int: ...


class Collected(Protocol):
    """What a collection of garbage removed, or would remove."""

    @property
    def removed_packs(self) -> int: ...

    @property
    def removed_bytes(self) -> int: ...


class ImageNeeds(Protocol):
    """What one image takes in the store: its manifest, and the packs that it shares with others, by id."""

    @property
    def manifest_bytes(self) -> int: ...

    @property
    def packs(self) -> Mapping[bytes, int]:
        """Bytes of each."""


class ImageView(Protocol):
    """The files of one image, read in part. Raises store.ImageDamaged, KeyError for a file that isn't there."""

    def names(self) -> Sequence[str]:
        """Paths below the image's folder, with '/'."""

    def size(self, name: str) -> int:
        """Bytes of that file."""

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Fewer bytes than length where the file ends."""

    def page_digests(self, name: str) -> Sequence[bytes]:
        """Of each 4096 bytes what names their content, without reading them."""


class ImageStore(Protocol):
    """Savepoint images. Blocks: called through a worker thread."""

    def put(self, savepoint_id: str, folder: Path, *, lineage: str, parent: str | None = None) -> StoredImage:
        """Store all files of the folder under the id; commits by writing the manifest last.

        lineage: executions hand their id, so that unchanged pages are found in the newest image of the same lineage.
        parent: the savepoint that the process came from, where it is not that newest one.
        Raises store.StoreFull when the disk is full; nothing of the id is visible then.
        """

    def get(self, savepoint_id: str, folder: Path) -> None:
        """Write the files back into an existing empty folder, every chunk verified by its hash.

        Raises store.ImageMissing, store.ImageDamaged.
        """

    def verify(self, savepoint_id: str) -> None:
        """As get, without writing."""

    def link(self, savepoint_id: str, new_id: str, *, lineage: str) -> StoredImage:
        """A further image with the same content under another id: each may be deleted without the other.

        Raises store.ImageMissing, store.ImageDamaged, store.StoreFull; nothing of the new id is visible then.
        """

    def view(self, savepoint_id: str) -> AbstractContextManager[ImageView]:
        """The image's files, to be read in part. Raises store.ImageMissing."""

    def delete(self, savepoint_id: str) -> None:
        """Drop the manifest; the chunks go with the next collection."""

    def collect(
        self, live_ids: Collection[str], *, dry_run: bool = False, removed_ids: Collection[str] = ()
    ) -> Collected:
        """Remove what none of the live savepoints needs. live_ids must have been read before the call.

        removed_ids: not live, and stale whatever their age.
        """

    def needs(self, savepoint_ids: Collection[str]) -> Mapping[str, ImageNeeds]:
        """By id; an image that is not there, or can't be read, is left out."""

    def size_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What an execution's container is started with."""

    execution_id: str
    image: str
    agent_dir: Path  # bind-mounted: holds agent.json and the spool folder of this execution alone
    memory_limit_bytes: int
    pids_limit: int


@dataclass(frozen=True, slots=True)
class ContainerEnd:
    """How a container ended by itself. engine_away: while the engine that held it was away, or as that came back."""

    execution_id: str
    exit_status: int
    oom_killed: bool
    engine_away: bool = False

    @property
    def ended_by_others(self) -> bool:
        """Nothing that a flow does ends an agent well, or its engine."""
        return not self.oom_killed and (self.engine_away or self.exit_status == 0)


class HostState(enum.StrEnum):
    """READY: containers can be started there. AWAY: its engine does not answer."""

    READY = "READY"
    AWAY = "AWAY"


@dataclass(frozen=True, slots=True)
class Host:
    """One that containers are placed on; while it is away there is no more than its name and address."""

    name: str  # its own, unique among the hosts of a launcher
    address: str  # of its engine
    state: HostState
    problem: str = ""  # why it is not ready, in the engine's words
    kernel: str = ""
    architecture: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    engine_version: str = ""
    containers: int = 0  # that run there, whoever started them
    executions: int = 0  # of them those of this data directory


class Launcher(Protocol):
    """Places containers. Coroutines; blocking work goes to threads inside."""

    async def start(self, spec: ContainerSpec) -> None:
        """Raises NotFound for an image that is not there, Unavailable when the engine does not answer."""

    async def remove(self, execution_id: str) -> None:
        """Kill and remove the execution's container; does nothing when there is none.

        Raises Unavailable when the engine does not remove it, whatever its reason.
        """

    async def oom_killed(self, execution_id: str) -> bool:
        """Whether the kernel killed a process of the container for memory."""

    async def resolve_image(self, image: str) -> str:
        """The image's content id. Raises NotFound, Unavailable."""

    async def read_file(self, image: str, path: str, limit_bytes: int) -> bytes:
        """A regular file of an image. Raises NotFound, InvalidArgument when it is larger, Unavailable."""

    async def wait_end(self, execution_id: str) -> ContainerEnd:
        """Returns when the container has ended or is gone."""

    async def tail(self, execution_id: str) -> str:
        """The last lines that the container itself wrote, which is the agent's log; empty when there is none."""

    async def list_executions(self) -> list[str]:
        """Ids of the executions that have a container, ended or not, of this data directory."""

    async def hosts(self) -> Sequence[Host]:
        """All that containers are placed on, as they are now, by name; answers within seconds, whatever they do."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What an agent reported of a command that succeeded; failures are raised as Internal with the agent's words."""

    savepoint_id: str = ""
    unchanged: bool = False
    busy: bool = False
    restore_us: int = 0


class AgentLink(Protocol):
    """The controller's end of one agent's command stream."""

    async def start(self, flow: Flow, file_name: str, execution: Json) -> None:
        """Run the flow's script under that file name, its other files beside it."""

    async def savepoint(
        self,
        kind: SavepointKind,
        name: str = "",
        *,
        leave_frozen: bool = False,
        unless_unchanged: bool = False,
        if_idle: bool = False,
    ) -> CommandResult:
        """if_idle: where the tree does something, nothing is done, and the result is busy."""

    async def thaw(self) -> None: ...

    async def restore(
        self, image_dir: str, savepoint_id: str, branch: int, restored: Json, *, recovery: bool = False
    ) -> CommandResult:
        """recovery: the savepoint is of this very branch, and its open calls are still the same."""

    async def stop(self) -> None:
        """Ask the agent to kill the tree and end; does not wait."""

    def close(self) -> None:
        """Its container is gone: whoever waits for a report hears of it."""


class ConnectorInput(Protocol):
    """One input that a connector declares."""

    @property
    def type_name(self) -> str:
        """The JSON types that it takes, in words."""

    @property
    def help(self) -> str: ...

    @property
    def required(self) -> bool: ...

    @property
    def default(self) -> Any: ...

    @property
    def choices(self) -> Sequence[str]: ...

    @property
    def secret(self) -> bool: ...

    @property
    def place(self) -> bool: ...

    @property
    def harmless(self) -> Sequence[bool]:
        """Values of a place that lead nowhere else, which a flow may give."""


class Connector(Protocol):
    """Carries out this.connect for one connection type, outside the flow's container.

    What it raises has error_type, the name of a class in flow_api.exceptions, and message, without secrets.
    """

    @property
    def summary(self) -> str: ...

    @property
    def inputs(self) -> Mapping[str, ConnectorInput]: ...

    @property
    def places(self) -> Collection[str]:
        """Names of the inputs that say where a connection leads; a flow that uses one leaves them as they are."""

    @property
    def probe(self) -> Mapping[str, Any]:
        """Inputs for a harmless call, laid over a connection's that is to be tested."""

    def check(self, value: Mapping[str, Any]) -> None:
        """Whether a connection's value has inputs that fit. Raises ConnectorError."""

    async def call(
        self, inputs: dict[str, Any], *, idempotency_key: str, secret: Collection[str] = (), led_by_flow: bool = False
    ) -> dict[str, Any]:
        """Inputs are the connection's value overlaid with the call's keywords. Returns output_value.

        secret: names of inputs that must not be seen in errors, besides those that the connector declares.
        led_by_flow: no operator chose where the call leads, so it may not be the controller's own host or link.
        Raises ConnectorError with the words of what refused.
        """


class Clock(Protocol):
    """The time, replaceable in tests."""

    def now(self) -> datetime: ...
