"""The agent's configuration: written by the controller into a folder that only the agent sees, read once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """mode "start": run the flow from its beginning; "restore": wait for a savepoint to restore."""

    execution_id: str
    token: str
    mode: str
    branch: int
    # What a call does while the spool's disk is full: "wait" for room, or "fail".
    on_store_full: str
    # Room for the tree's scratch files; 0: the kernel's default.
    scratch_limit_bytes: int
    # "host": a call waits until its savepoint would survive a power cut.
    durability: str
    # How often it looks at what the container uses; None: never.
    usage_every_s: float | None
    # What it is to die of, in tests; see the module faults.
    faults: str

    @classmethod
    def read(cls, path: Path) -> AgentConfig:
        """Raises OSError, ValueError, KeyError: a container that was not started by a controller."""
        value = json.loads(path.read_text())
        return cls(
            execution_id=value["execution_id"],
            token=value["token"],
            mode=value["mode"],
            branch=int(value.get("branch", 1)),
            on_store_full=value.get("on_store_full", "wait"),
            durability=value.get("durability", "host"),
            usage_every_s=value.get("usage_every_s"),
            faults=value.get("faults", ""),
            scratch_limit_bytes=int(value.get("scratch_limit_bytes", 0)),
        )
