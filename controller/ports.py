"""What the core needs from outside, as protocols; the edges (db, launcher, connectors, api, store) provide them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from controller.model import (
    Call,
    CallKey,
    Connection,
    Execution,
    Flow,
    Json,
    Load,
    LogLine,
    Outcome,
    Savepoint,
    SavepointKind,
    Status,
)


class Database(Protocol):
    """Durable records. Each method is one transaction and blocks: the core calls it through a worker thread.

    Methods that change a status compare first and say with False that somebody else was quicker.
    """

    def add_execution(self, execution: Execution, flow: Flow) -> None:
        """Record both; a flow version that exists already stays as it is."""

    def execution(self, execution_id: str) -> Execution | None: ...

    def find_executions(self, reference: str) -> Sequence[Execution]:
        """All whose id equals or starts with the reference, or whose name equals it; newest first."""

    def list_executions(
        self, statuses: Sequence[Status], flow_name: str, limit: int, before: str
    ) -> Sequence[Execution]:
        """Newest first; before: the id after which to go on, empty for the first page."""

    def flow(self, version: str) -> Flow | None: ...

    def set_status(
        self, execution_id: str, expected: Sequence[Status], status: Status, message: str | None = None
    ) -> bool:
        """Compare and set; sets started_at on the first RUNNING and ended_at on an ended status (cleared otherwise).

        message None leaves it. False: the status was none of the expected ones, and nothing changed.
        """

    def set_fields(
        self, execution_id: str, *, message: str | None = None, output_value: Json | None = None
    ) -> None: ...

    def set_last_call(self, execution_id: str, name: str, file: str, line: int) -> None: ...

    def delete_execution(self, execution_id: str) -> None:
        """With its savepoints, calls, loads and log."""

    def add_savepoint(self, savepoint: Savepoint) -> Savepoint:
        """Commit the row: gives it the next number, sets parent_id from the execution's head, an empty output_value
        from the execution, and makes it the head (when its branch is still the execution's). Answers what was recorded.
        """

    def name_savepoint(self, savepoint_id: str, name: str, kind: SavepointKind) -> None: ...

    def savepoint(self, savepoint_id: str) -> Savepoint | None: ...

    def savepoint_at_call(self, key: CallKey) -> Savepoint | None: ...

    def savepoints(self, execution_id: str) -> Sequence[Savepoint]:
        """By number, ascending."""

    def savepoint_ids(self) -> Sequence[str]:
        """Of all executions: what garbage collection keeps."""

    def begin_call(self, call: Call) -> tuple[bool, Outcome | None]:
        """Record an open call. (True, None): new. (False, outcome): repeated, outcome None while it is still open.

        Sets the execution's last_call, last_file and last_line too.
        """

    def complete_call(self, key: CallKey, outcome: Outcome) -> bool:
        """Record the outcome of an open call; False when it was completed or abandoned before."""

    def abandon_calls(self, execution_id: str, branch: int) -> None:
        """Mark the open calls of a branch that was left."""

    def begin_branch(self, load: Load, savepoint: Savepoint, status: Status, output_value: Json) -> Execution:
        """Record a load that succeeded: new branch, head, counters, status, message cleared. One transaction."""

    def undo_to_ended(self, load: Load, mark: str) -> Execution:
        """Put the ended status, message, output and end time of before the load back; mark: the undone load's id."""

    def loads(self, execution_id: str) -> Sequence[Load]:
        """Oldest first."""

    def mark_undone(self, load_id: str) -> None: ...

    def append_log(self, execution_id: str, lines: Sequence[LogLine]) -> None: ...

    def read_log(self, execution_id: str, after_number: int, limit: int) -> Sequence[LogLine]: ...

    def save_connection(self, connection: Connection) -> None: ...

    def connection(self, name: str) -> Connection | None: ...

    def connections(self) -> Sequence[Connection]: ...

    def delete_connection(self, name: str) -> bool: ...

    def setting(self, name: str) -> Json | None: ...

    def save_setting(self, name: str, value: Json) -> None: ...

    def delete_setting(self, name: str) -> bool: ...

    def file(self, name: str) -> bytes | None: ...

    def save_file(self, name: str, content: bytes) -> None: ...

    def delete_file(self, name: str) -> bool: ...

    def counts(self) -> tuple[int, int, int]:
        """Executions, those not ended, savepoints."""


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

    def delete(self, savepoint_id: str) -> None:
        """Drop the manifest; the chunks go with the next collection."""

    def collect(self, live_ids: Collection[str], *, dry_run: bool = False) -> Collected:
        """Remove what none of the live savepoints needs. live_ids must have been read before the call."""

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
    """How a container ended by itself."""

    execution_id: str
    exit_status: int
    oom_killed: bool


class Launcher(Protocol):
    """Places containers. Coroutines; blocking work goes to threads inside."""

    async def start(self, spec: ContainerSpec) -> None:
        """Raises NotFound for an image that is not there, Unavailable when the engine does not answer."""

    async def remove(self, execution_id: str) -> None:
        """Kill and remove the execution's container; does nothing when there is none."""

    async def oom_killed(self, execution_id: str) -> bool:
        """Whether the kernel killed a process of the container for memory."""

    async def resolve_image(self, image: str) -> str:
        """The image's content id. Raises NotFound, Unavailable."""

    async def wait_end(self, execution_id: str) -> ContainerEnd:
        """Returns when the container has ended or is gone."""

    async def tail(self, execution_id: str) -> str:
        """The last lines that the container itself wrote, which is the agent's log; empty when there is none."""

    async def list_executions(self) -> list[str]:
        """Ids of the executions that have a container, ended or not, of this data directory."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What an agent reported of a command that succeeded; failures are raised as Internal with the agent's words."""

    savepoint_id: str = ""
    unchanged: bool = False
    restore_us: int = 0


class AgentLink(Protocol):
    """The controller's end of one agent's command stream."""

    async def start(self, script: str, file_name: str, execution: Json) -> None: ...

    async def savepoint(
        self, kind: SavepointKind, name: str = "", *, leave_frozen: bool = False, unless_unchanged: bool = False
    ) -> CommandResult: ...

    async def thaw(self) -> None: ...

    async def restore(self, image_dir: str, savepoint_id: str, branch: int, restored: Json) -> CommandResult: ...

    async def stop(self) -> None:
        """Ask the agent to kill the tree and end; does not wait."""


class Connector(Protocol):
    """Carries out this.connect for one connection type, outside the flow's container.

    places: inputs that say where it leads. With a connection they come from that connection alone, or a flow could
    send the connection's secrets elsewhere.
    """

    places: frozenset[str]

    async def without_connection(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs as they are carried out for flow code, which is not trusted, with no operator's connection.

        Raises ConnectorError when a flow may not choose this place by itself.
        """

    async def call(self, inputs: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """Inputs are the connection's value overlaid with the call's keywords. Returns output_value.

        Raises ConnectorError with the words of what refused.
        """


class Clock(Protocol):
    """The time, replaceable in tests."""

    def now(self) -> datetime: ...
