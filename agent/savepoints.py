"""The savepoints that this container's agent takes: one dump after the other, each with its commit."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from flowsnap.v1 import agent_pb2 as pb
from flowsnap.v1 import types_pb2

import faults
from agent import criu, savepoint
from agent.commit_record import write_commit_record
from agent.config import AgentConfig
from agent.errors import CommitFailed, CriuRefused, SpoolFull
from agent.output import Output
from agent.paths import SPOOL
from agent.savepoint import Conversation, Dumped, OpenCall
from agent.session import Session
from agent.tree import Tree

_T = TypeVar("_T")

# With less room than this, a call waits for the commit of its savepoint.
_ROOM_BYTES = 2 << 30


class Savepoints:
    """Use from one event loop. CRIU's work runs in one thread, so that there is never more than one dump or restore."""

    def __init__(
        self,
        config: AgentConfig,
        session: Session,
        service: criu.Service,
        output: Output,
        living: Callable[[], Tree],
        conversation: Callable[[], Conversation],
    ) -> None:
        """living: the tree that is to be dumped, or raises NoTree. conversation: asked from CRIU's thread in a dump."""
        self._config = config
        self._session = session
        self._service = service
        self._output = output
        self._living = living
        self._conversation = conversation
        self._criu_thread = ThreadPoolExecutor(1, "criu")
        # The controller tells this container's folders from those of the one that was there before.
        self.life = os.urandom(8).hex()
        self.branch = config.branch
        # One savepoint after the other, from the dump to its commit: that is what makes "the newest" mean something.
        self.lock = asyncio.Lock()
        self._committing: asyncio.Task[str] | None = None
        self._folder_number = 0
        self._newest = ""
        self._switches_at_newest: tuple[int, ...] | None = None

    async def in_criu_thread(self, work: Callable[..., _T], *arguments: object) -> _T:
        """Its result, when what CRIU does just now is done."""
        return await asyncio.get_running_loop().run_in_executor(self._criu_thread, work, *arguments)

    def loaded(self, savepoint_id: str) -> None:
        """Another tree lives from now on, restored from that one."""
        self._newest, self._switches_at_newest = savepoint_id, None

    def of_unchanged(self, tree: Tree) -> str | None:
        """The newest savepoint, when the tree provably did not run since then."""
        if self._switches_at_newest is None or self.lock.locked():
            return None
        return self._newest if tree.frozen or tree.switches() == self._switches_at_newest else None

    async def settle(self, limit_s: float) -> None:
        """Wait for the commit that is under way, but no longer than that."""
        if self._committing is not None:
            await asyncio.wait((self._committing,), timeout=limit_s)

    async def take(self, kind: types_pb2.SavepointKind.ValueType, name: str, *, leave_frozen: bool) -> str:
        """Dump and commit, at no call; answers the savepoint's id. Raises CriuRefused, CommitFailed, NoTree."""
        return await asyncio.shield(await self._dump_and_begin_commit(kind, name, None, leave_frozen=leave_frozen))

    async def take_at(self, call: OpenCall, *, settled: bool) -> str:
        """That of a call; answers why there is none, or an empty string.

        settled: not before its commit; else when the dump is as good as one. CRIU may refuse for reasons of the moment.
        The call goes on without its savepoint then, and the log says so.
        """
        try:
            await self._take_when_room(call, settled=settled or not self._may_commit_later())
        except (CriuRefused, CommitFailed) as error:
            self._tell_missing(call, error)
            return f"store: {error}" if isinstance(error, CommitFailed) else str(error)
        return ""

    def dump(self, tree: Tree, folder: Path, *, leave_frozen: bool) -> Dumped:
        """In CRIU's thread."""
        return savepoint.take(self._service, tree, folder, self._conversation, leave_frozen=leave_frozen)

    def _may_commit_later(self) -> bool:
        """Whether a dump that is complete in the spool is as good as a commit.

        Whoever of agent, container and controller dies, the commit is made up for from the spool. A power cut is
        another matter, and on a disk that is nearly full the commit has to be waited for, because it may fail.
        """
        if self._config.durability == "host":
            return False
        disk = os.statvfs(SPOOL)
        return disk.f_bavail * disk.f_frsize > _ROOM_BYTES

    async def _take_when_room(self, call: OpenCall, *, settled: bool) -> None:
        """A full spool is waited for, where the configuration says so. Raises CriuRefused, CommitFailed."""
        pause, told = 0.5, False
        while True:
            try:
                commit = await self._dump_and_begin_commit(types_pb2.SAVEPOINT_KIND_CALL, "", call, leave_frozen=False)
                if settled:
                    await asyncio.shield(commit)
                else:
                    commit.add_done_callback(functools.partial(self._tell_failed_commit, call))
                return
            except SpoolFull as error:
                if self._config.on_store_full == "fail":
                    raise CommitFailed(str(error)) from error
                if not told:
                    self._output.say(f"waiting for disk space to store the savepoint at {call.name}: {error}")
                told = True
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)

    def _tell_failed_commit(self, call: OpenCall, commit: asyncio.Task[str]) -> None:
        error = None if commit.cancelled() else commit.exception()
        if error is not None:
            self._tell_missing(call, error)

    def _tell_missing(self, call: OpenCall, error: BaseException) -> None:
        self._output.say(f"no savepoint at {call.name} ({call.file}:{call.line}): {error}")

    async def _dump_and_begin_commit(
        self,
        kind: types_pb2.SavepointKind.ValueType,
        name: str,
        call: OpenCall | None,
        *,
        leave_frozen: bool,
    ) -> asyncio.Task[str]:
        """Answers when the dump is complete on the disk: the task of its commit, of which the spool tells, too.

        Raises CriuRefused; the task raises CommitFailed. The next savepoint waits for the task.
        """
        await self.lock.acquire()
        try:
            tree = self._living()
            self._folder_number += 1
            folder = SPOOL / f"{self.life}-{self.branch}-{self._folder_number}"
            dumped = await self.in_criu_thread(functools.partial(self.dump, tree, folder, leave_frozen=leave_frozen))
            request = pb.CommitSavepointRequest(
                kind=kind,
                name=name,
                branch=self.branch,
                image_dir=folder.name,
                frozen_us=dumped.frozen_us,
                dump_us=dumped.dump_us,
                open_calls=[open_call.name for open_call in dumped.open_calls],
                last_seq=dumped.last_seq,
            )
            if call is not None:
                request.seq, request.call = call.seq, call.name
                request.file, request.line, request.function = call.file, call.line, call.function
            committing = asyncio.create_task(self._commit(request, folder, tree, dumped))
        except BaseException:
            self.lock.release()
            raise
        self._committing = committing
        return committing

    async def _commit(self, request: pb.CommitSavepointRequest, folder: Path, tree: Tree, dumped: Dumped) -> str:
        """Holds the lock, and releases it."""
        try:
            try:
                faults.reach("agent.record.before")
                # Without a record nobody makes up for the commit if all die just now; that is no reason to give it up.
                with contextlib.suppress(OSError):
                    write_commit_record(folder, request)
                faults.reach("agent.record.after")
                committed = await self._session.commit(request)
                faults.reach("agent.commit.after")
            except CommitFailed as error:
                if tree.frozen:
                    tree.thaw()
                await asyncio.to_thread(savepoint.remove_folder, folder)
                raise CommitFailed(str(error)) from error
            self._newest = committed.savepoint_id
            self._switches_at_newest = tree.switches() if dumped.open_calls else None
            return committed.savepoint_id
        finally:
            self.lock.release()
