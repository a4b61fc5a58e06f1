"""One dump and one restore, start to end: CRIU's images, the scratch files, and what the pipes held.

A savepoint image is a folder: `criu/` (CRIU's own files), `scratch.json` and `scratch.bin` (agent/scratch.py), and
`savepoint.json`, described in docs/savepoint-format.md.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faults
from agent import criu, sandbox
from agent.channel import InFlight
from agent.errors import CriuRefused, SpoolFull
from agent.paths import SCRATCH
from agent.pipes import Pipes
from agent.scratch import Scratch
from agent.tree import Tree

FORMAT = 1

# A disk that was mounted read-only after an error is waited for as one that is full.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that the flow waits for. arguments: a JSON object as text."""

    seq: int
    name: str
    file: str
    line: int
    function: str
    ordered: bool
    arguments: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """What stands between flow and agent at the instant of a dump."""

    in_flight: InFlight
    open_calls: tuple[OpenCall, ...]
    last_seq: int  # of the newest call that the flow had made


@dataclass(frozen=True, slots=True)
class Dumped:
    """Times in microseconds."""

    frozen_us: int
    dump_us: int
    open_calls: tuple[OpenCall, ...]
    last_seq: int


# Folders for the scratch of restored trees; 0 is that of the tree which the container started with.
_places = itertools.count(1)


@dataclass(slots=True)
class Kit:
    """What a restore needs, made ahead: pipes, a CRIU that has them open, and a fresh tmpfs for the scratch files."""

    pipes: Pipes
    worker: criu.Worker
    scratch: Scratch

    @classmethod
    def prepare(cls, scratch_limit_bytes: int) -> Kit:
        pipes = Pipes.open()
        worker = criu.Worker(tuple(pipes.flow_ends().values()))
        return cls(pipes, worker, Scratch.mount_empty(SCRATCH / str(next(_places)), scratch_limit_bytes))

    def discard(self) -> None:
        self.scratch.discard()
        self.worker.close()
        self.pipes.close_flow_ends()
        self.pipes.close_ours()


def take(
    service: criu.Service,
    tree: Tree,
    folder: Path,
    conversation: Callable[[], Conversation],
    *,
    leave_frozen: bool,
) -> Dumped:
    """Dump the tree into a new folder. conversation is asked while all stands still.

    Raises CriuRefused; the folder is then gone and the tree runs on.
    """
    images = folder / "criu"
    said: list[Conversation] = []
    was_frozen = tree.frozen
    faults.reach("agent.dump.before")
    started = time.perf_counter_ns()

    def while_frozen() -> None:
        said.clear()  # a second attempt asks again
        said.append(conversation())
        tree.scratch.capture(folder)
        faults.reach("agent.dump.frozen")

    try:
        images.mkdir(parents=True)
        figures = criu.dump(
            service,
            tree.pid,
            images,
            sandbox.external_mounts(tree.scratch),
            leave_stopped=leave_frozen,
            while_frozen=while_frozen,
        )
        dump_us = (time.perf_counter_ns() - started) // 1000
        (conversed,) = said
        _write_record(folder, tree, conversed)
    except OSError as error:
        # Without a record nobody takes what is left of it for an image.
        with contextlib.suppress(OSError):
            remove_folder(folder)
        kind = SpoolFull if error.errno in _FULL else CriuRefused
        raise kind(f"the tree's files could not be written to the spool: {error}") from error
    except BaseException:
        remove_folder(folder)
        raise
    tree.frozen = leave_frozen
    if was_frozen:
        tree.freeze()
    faults.reach("agent.dump.after")
    return Dumped(max(figures.frozen_us, 0), dump_us, conversed.open_calls, conversed.last_seq)


def _write_record(folder: Path, tree: Tree, conversation: Conversation) -> None:
    record = {
        "format": FORMAT,
        "criu": criu_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "pipes": tree.pipes.keys(),
        "in_flight": conversation.in_flight.to_json(),
        "open_calls": [asdict(call) for call in conversation.open_calls],
        "last_seq": conversation.last_seq,
        "frozen": tree.frozen,
    }
    (folder / "savepoint.json").write_text(json.dumps(record, separators=(",", ":")))


_versions: dict[str, str] = {}


def criu_version() -> str:
    """Asked once."""
    if not _versions:
        _versions["criu"] = criu.version()
    return _versions["criu"]


@dataclass(frozen=True, slots=True)
class Restored:
    """A tree that lives, and where its conversation stands."""

    tree: Tree
    conversation: Conversation
    restore_us: int


def restore(folder: Path, make_kit: Callable[[], Kit]) -> Restored:
    """Bring the savepoint in the folder to life beside whatever runs.

    Raises CriuRefused, OSError, ValueError; what was begun is gone then. CRIU is asked twice: quickly and silently, and
    again for its words.
    """
    record = _read_record(folder)
    try:
        return _attempt(folder, record, make_kit(), say_why=False)
    except CriuRefused:
        return _attempt(folder, record, make_kit(), say_why=True)


def _read_record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "savepoint.json").read_text())
    if record["format"] != FORMAT:
        raise ValueError(f"the savepoint has format {record['format']}, this agent knows format {FORMAT}")
    if record["machine"] != platform.machine():
        raise ValueError(f"the savepoint was taken on {record['machine']}, this host is {platform.machine()}")
    return record


def _attempt(folder: Path, record: dict[str, Any], kit: Kit, *, say_why: bool) -> Restored:
    try:
        kit.scratch.rebuild(folder)
        ends = kit.pipes.flow_ends()
        inherited = {key: ends[role] for role, key in record["pipes"].items()}
        started = time.perf_counter_ns()
        pid = criu.restore(
            kit.worker, folder / "criu", sandbox.external_mounts(kit.scratch), inherited, say_why=say_why
        )
        restore_us = (time.perf_counter_ns() - started) // 1000
    except BaseException:
        kit.discard()
        raise
    kit.worker.close()
    kit.pipes.close_flow_ends()
    conversation = Conversation(
        InFlight.from_json(record["in_flight"]),
        tuple(OpenCall(**call) for call in record["open_calls"]),
        record["last_seq"],
    )
    tree = Tree(pid, kit.pipes, kit.scratch)
    if record["frozen"]:
        # Its processes stood still when they were dumped, and so they do now.
        tree.thaw()
    return Restored(tree, conversation, restore_us)


def remove_folder(folder: Path) -> None:
    """A small tree of plain files; shutil is an import that nothing else here needs."""
    with contextlib.suppress(FileNotFoundError):
        for place, folders, files in os.walk(folder, topdown=False):
            for name in files:
                os.unlink(f"{place}/{name}")
            for name in folders:
                os.rmdir(f"{place}/{name}")
        folder.rmdir()
