"""The controller's configuration: read once, in __main__, into a frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DEFAULT_DATA_DIR = Path("/var/lib/flowsnap")
DEFAULT_IMAGE = "flowsnap/execution"
DEFAULT_HTTP_LISTEN = "127.0.0.1:7117"

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be chosen. Paths below data_dir are fixed: clients find a controller by its folder."""

    data_dir: Path = DEFAULT_DATA_DIR
    container_image: str = DEFAULT_IMAGE
    # "bridge" keeps flows off the host's loopback; "none" gives them no network; "host" starts quickest.
    network: str = "bridge"
    memory_limit_bytes: int = 1024 * MIB
    pids_limit: int = 512
    # One JSON value that crosses the API: input, output, a call's arguments or result.
    max_value_bytes: int = 16 * MIB
    # What a call does while the disk is full: wait for room, or raise SavepointError in the flow.
    on_store_full: Literal["wait", "fail"] = "wait"
    # Loads by load_dump that one execution may make before it is ended as a loop.
    script_load_limit: int = 100
    # How many executions may stand below one another: what stops a flow that starts itself.
    depth_limit: int = 20
    # What system.get_env_name() answers: tells flows a test installation from the real one.
    env_name: str = "default"
    # "host": savepoints survive a power cut (fsync on each). "process": they survive everything but that.
    durability: Literal["host", "process"] = "process"
    # The file with what seals the store's files, made with it; None: store.key beside the store.
    store_key: Path | None = None
    # An execution that has waited so long gives its container back until its wait is over; None: it never does.
    park_after_s: float | None = 10.0
    # How often agents look at what their containers use; None: never.
    usage_every_s: float | None = 10.0
    # A process that is lost so often in a row, without a further savepoint, ends its execution.
    recovery_strikes: int = 3
    # Losses of its process by its own doing that end an execution, however many savepoints there were in between.
    recovery_limit: int = 100
    # How long a recovery waits after the first such loss, the second... The last stands for all that follow.
    recovery_backoff_s: tuple[float, ...] = (0.0, 1.0, 5.0)
    # host:port of the web page and the webhooks; empty: no HTTP.
    http_listen: str = ""
    # Names under which browsers may know the page, besides addresses, localhost and the name in http_listen.
    http_hosts: tuple[str, ...] = ()

    @property
    def database(self) -> Path:
        return self.data_dir / "flowsnap.db"

    @property
    def store(self) -> Path:
        return self.data_dir / "store"

    @property
    def secrets_key(self) -> Path:
        """What opens the secrets of connections; made when the first of them is saved."""
        return self.data_dir / "secrets.key"

    @property
    def agents(self) -> Path:
        """One folder per execution: agent.json (its token) and spool/; mounted into its container at /flowsnap."""
        return self.data_dir / "agents"

    @property
    def transfers(self) -> Path:
        """Exports and imports under way; emptied when a controller starts."""
        return self.data_dir / "transfers"

    @property
    def agent_socket(self) -> Path:
        """In a folder of its own, which every container has mounted read-only at /flowsnap-controller."""
        return self.data_dir / "agent-socket" / "agent.sock"

    @property
    def control_socket(self) -> Path:
        return self.data_dir / "run" / "control.sock"

    @property
    def pid_file(self) -> Path:
        return self.data_dir / "run" / "controller.pid"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "run" / "controller.log"
