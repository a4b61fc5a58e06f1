"""What an execution's container is: its name, labels, mounts, limits and privileges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from docker import APIClient
from docker.types import LogConfig, Mount

from controller.config import Config
from controller.ports import ContainerSpec

EXECUTION_LABEL = "flowsnap.execution"
DATA_DIR_LABEL = "flowsnap.data-dir"
READER_LABEL = "flowsnap.reader-of"

AGENT_DIR = "/flowsnap"
CONTROLLER_DIR = "/flowsnap-controller"

CAPABILITIES = (
    # CRIU: namespaces and mounts, other processes' memory, sockets and addresses, time namespace offsets.
    "SYS_ADMIN",
    "SYS_PTRACE",
    "NET_ADMIN",
    "SYS_TIME",
    # The agent as root: files, ids and signals of the flow's tree, device nodes for its /dev, its root.
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "SYS_CHROOT",
)
# Docker's filters refuse what CRIU and new namespaces need; the flow gets a filter of its own from the agent.
SECURITY_OPTIONS = ("seccomp=unconfined", "apparmor=unconfined")


def container_name(execution_id: str) -> str:
    return f"flowsnap-{execution_id}"


def data_dir_label(config: Config) -> str:
    """Tells the containers of controllers with different data folders apart on one engine."""
    return f"{DATA_DIR_LABEL}={config.data_dir}"


def reader_label(config: Config) -> str:
    """Of containers that are never started and exist for reading a file of their image."""
    return f"{READER_LABEL}={config.data_dir}"


def create_options(
    client: APIClient, spec: ContainerSpec, config: Config, entrypoint: Sequence[str] | None
) -> dict[str, Any]:
    """The arguments of APIClient.create_container."""
    host_config = client.create_host_config(
        cap_drop=["ALL"],
        cap_add=list(CAPABILITIES),
        security_opt=list(SECURITY_OPTIONS),
        # /run holds CRIU's cache of kernel features: on a tmpfs a dump takes half the time.
        tmpfs={"/run": "exec,mode=755"},
        # Mounts, not binds: with a missing source they fail, where binds make an empty folder.
        mounts=[
            Mount(AGENT_DIR, str(spec.agent_dir), type="bind"),
            Mount(CONTROLLER_DIR, str(config.agent_socket.parent), type="bind", read_only=True),
        ],
        mem_limit=spec.memory_limit_bytes,
        # Equal means no swap: swapped memory would make a dump wait for the disk.
        memswap_limit=spec.memory_limit_bytes,
        pids_limit=spec.pids_limit,
        network_mode=config.network,
        restart_policy={"Name": "no"},
        # Kept after its end, so that the OOM flag and the agent's last words can be read.
        auto_remove=False,
        # The agent is PID 1 and reaps.
        init=False,
        log_config=LogConfig(type="json-file", config={"max-size": "1m", "max-file": "1"}),
    )
    # The command line's systempaths=unconfined: a masked /proc forbids a proc in a new user namespace.
    host_config["MaskedPaths"] = []
    host_config["ReadonlyPaths"] = []
    return {
        "image": spec.image,
        "name": container_name(spec.execution_id),
        "hostname": spec.execution_id[:12],
        "labels": {EXECUTION_LABEL: spec.execution_id, DATA_DIR_LABEL: str(config.data_dir)},
        "host_config": host_config,
        "entrypoint": None if entrypoint is None else list(entrypoint),
    }
