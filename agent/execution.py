"""The execution as the agent holds it: its tree, the calls that the flow waits for, what the controller commands."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from flowsnap.v1 import agent_pb2 as pb

import faults
from agent import __version__, criu, savepoint
from agent.channel import Channel, Frame, InFlight
from agent.config import AgentConfig
from agent.errors import AgentError, CriuRefused, NoTree
from agent.output import Output
from agent.paths import FLOW_DIR, SPOOL
from agent.rest import holds_connections, rests
from agent.savepoint import Conversation, Kit, OpenCall
from agent.savepoints import Savepoints
from agent.session import Session
from agent.tree import Tree
from agent.usage import Cgroup, UsageReports

# Of CRIU's words, those that there is an answer to.
_ADDRESS_IN_USE = "Address already in use"

# The call that is all about its savepoint.
_CREATE_DUMP = "create_dump"
# How long the end of the container waits for the commit of the newest savepoint.
_LAST_COMMIT_S = 5
# And for the last word on what the container used.
_LAST_USAGE_S = 0.3


class Execution:
    """Use from one event loop."""

    def __init__(self, config: AgentConfig, session: Session, service: criu.Service, tree: Tree | None) -> None:
        self._config = config
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._output = Output(session.append_log)
        self._savepoints = Savepoints(config, session, service, self._output, self._living, self._ask_conversation)
        self._tree = tree
        self._channel: Channel | None = None
        # The controller tells this container's agent from that of the one that was there before.
        self._agent_id = f"{config.execution_id}-{self._savepoints.life}"
        self._last_seq = 0
        self._restored: Any = None
        self._open: dict[int, OpenCall] = {}
        self._carrying: set[asyncio.Task[None]] = set()
        self._commands: set[asyncio.Task[None]] = set()
        # A command that freezes is followed by a thaw when it is done. One that came before means that a controller
        # died in between, and that nobody waits for the command any more.
        self._thaws = 0
        self._kit: asyncio.Task[Kit] | None = None
        self._said_end: dict[str, Any] | None = None
        self._started = False
        self._over = asyncio.Event()
        cgroup = None if config.usage_every_s is None else Cgroup.find()
        self._usage = None if cgroup is None else UsageReports(cgroup.read, self._agent_id, session.report_usage)

    async def run(self) -> None:
        """Until the controller says stop, or SIGTERM comes."""
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._loop.add_signal_handler(signal.SIGTERM, self._over.set)
        if self._tree is not None:
            self._adopt(self._tree, InFlight())
        self._reap()  # a child that ended before the handler stood
        commands = asyncio.create_task(self._follow_commands())
        over = asyncio.create_task(self._over.wait())
        usage = None
        if self._usage is not None and self._config.usage_every_s is not None:
            usage = asyncio.create_task(self._usage.run(self._config.usage_every_s))
        await asyncio.wait((commands, over), return_when=asyncio.FIRST_COMPLETED)
        self._loop.remove_signal_handler(signal.SIGCHLD)
        # Beside what else there is to do: the end does not wait for it for long.
        last_usage = None
        if self._usage is not None and usage is not None:
            usage.cancel()
            last_usage = asyncio.create_task(self._usage.look(anyway=True))
        await self._savepoints.settle(_LAST_COMMIT_S)
        if self._tree is not None:
            self._tree.kill()
        if last_usage is not None:
            await asyncio.wait((last_usage,), timeout=_LAST_USAGE_S)
        if commands.done():
            commands.result()
        commands.cancel()

    # --- what the controller says

    async def _follow_commands(self) -> None:
        async for command in self._session.commands(self._describe):
            task = asyncio.create_task(self._obey(command))
            self._commands.add(task)
            task.add_done_callback(self._commands.discard)
            if self._kit is None:
                self._kit = asyncio.create_task(asyncio.to_thread(self._new_kit))

    def _describe(self) -> pb.AttachRequest:
        return pb.AttachRequest(
            agent_version=__version__,
            criu_version=savepoint.criu_version(),
            agent_id=self._agent_id,
            running=self._tree is not None and self._channel is not None and self._started,
            branch=self._savepoints.branch,
            fresh=not self._started,
        )

    async def _obey(self, command: pb.Command) -> None:
        report = pb.ReportCommandRequest(command_id=command.command_id, ok=True)
        try:
            match command.WhichOneof("command"):
                case "start":
                    self._start(command.start)
                case "savepoint":
                    await self._savepoint_on_command(command.savepoint, report)
                case "thaw":
                    await self._thaw()
                case "restore":
                    await self._restore(command.restore, report)
                case "stop":
                    self._over.set()
        except (AgentError, OSError, ValueError, KeyError) as error:
            report.ok = False
            report.error = str(error) or type(error).__name__
        if command.command_id:
            await self._session.report_command(report)

    async def _thaw(self) -> None:
        """After the dump or restore that is under way: CRIU leaves a tree as it found it, and would stop it again."""
        self._thaws += 1
        await self._savepoints.in_criu_thread(lambda: self._living().thaw())

    def _living(self) -> Tree:
        if self._tree is None:
            raise NoTree("no process tree lives in this container")
        return self._tree

    def _start(self, start: pb.StartFlow) -> None:
        """The tree waits for its first frame: the script. It is written into its scratch, where tracebacks find it."""
        tree, channel = self._living(), self._channel
        if self._started or channel is None:
            return  # the controller said it twice
        self._started = True
        folder = tree.scratch.path / "flow"
        for file in start.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
            if file.content.startswith(b"#!"):
                path.chmod(0o755)
        (folder / start.file_name).write_text(start.script)
        header = {"file": str(FLOW_DIR / start.file_name), "execution": json.loads(start.execution_json)}
        channel.send(header, b"")
        faults.reach("agent.script.after")

    # --- what the flow says

    def _adopt(self, tree: Tree, in_flight: InFlight) -> None:
        """Talk with this tree from now on."""
        self._tree = tree
        self._said_end = None
        self._open.clear()
        self._channel = Channel(tree.pipes, self._on_frame, in_flight)
        self._output.follow(tree.pipes.ours_stdout, "stdout")
        self._output.follow(tree.pipes.ours_stderr, "stderr")
        self._channel.start()

    def _on_frame(self, frame: Frame) -> None:
        if "end" in frame.header:
            self._said_end = frame.header
            if frame.header["end"] == "broken":
                self._living().kill()
            return
        try:
            call = OpenCall(
                seq=int(frame.header["seq"]),
                name=str(frame.header["name"]),
                file=str(frame.header["file"]),
                line=int(frame.header["line"]),
                function=str(frame.header["function"]),
                ordered=bool(frame.header["ordered"]),
                arguments=frame.body.decode(),
            )
        except (KeyError, ValueError, TypeError) as error:
            self._said_end = {"end": "raised", "error": f"the flow sent a call that can't be read: {error!r}"}
            self._living().kill()
            return
        self._last_seq = max(self._last_seq, call.seq)
        self._open[call.seq] = call
        self._spawn_carrying(self._carry(call))

    def _spawn_carrying(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, call: OpenCall) -> None:
        """A new call: its savepoint, and its execution by the controller, at the same time where order allows."""
        try:
            await self._carry_out(call)
        except (AgentError, OSError, ValueError) as error:
            self._reply_error(call, "InternalError", str(error))

    async def _carry_out(self, call: OpenCall) -> None:
        if call.ordered:
            failure = await self._savepoints.take_at(call, settled=True)
            await self._output.flush()
            if failure and call.name == _CREATE_DUMP:
                self._reply_error(call, "SavepointError", failure)
                return
            response = await self._session.call(self._request(call))
        else:
            answer = asyncio.create_task(self._session.call(self._request(call)))
            try:
                failure = await self._savepoints.take_at(call, settled=False)
                response = await answer
            finally:
                answer.cancel()
            if failure and failure.startswith("store: "):
                self._reply_error(call, "SavepointError", failure.removeprefix("store: "))
                return
        self._deliver(call, response)

    async def _carry_again(self, call: OpenCall, savepoint_id: str) -> None:
        """A call that a load carries out again; the savepoint that was loaded is its savepoint.

        An empty savepoint_id: it is the same call as before, which a fault left without an answer.
        """
        request = self._request(call)
        request.redo_of_savepoint_id = savepoint_id
        try:
            self._deliver(call, await self._session.call(request))
        except AgentError as error:
            self._reply_error(call, "InternalError", str(error))

    def _request(self, call: OpenCall) -> pb.CallRequest:
        return pb.CallRequest(
            branch=self._savepoints.branch,
            seq=call.seq,
            name=call.name,
            args_json=call.arguments.encode(),
            file=call.file,
            line=call.line,
            function=call.function,
        )

    def _deliver(self, call: OpenCall, response: pb.CallResponse) -> None:
        match response.WhichOneof("outcome"):
            case "value_json":
                self._reply(call, {"seq": call.seq, "restored": self._restored}, response.value_json)
            case "error":
                self._reply_error(call, response.error.type, response.error.message)
            case "halt":
                if response.halt.end:
                    self._over.set()

    def _reply_error(self, call: OpenCall, kind: str, message: str) -> None:
        header = {"seq": call.seq, "restored": self._restored, "error": {"type": kind, "message": message}}
        self._reply(call, header, b"")

    def _reply(self, call: OpenCall, header: dict[str, Any], body: bytes) -> None:
        if self._channel is not None:
            self._open.pop(call.seq, None)
            self._channel.send(header, body)
            faults.reach("agent.reply.after")

    # --- savepoints

    async def _savepoint_on_command(self, command: pb.TakeSavepoint, report: pb.ReportCommandRequest) -> None:
        tree, thaws = self._living(), self._thaws
        if command.if_idle:
            processes = tree.processes()
            if holds_connections(processes) or not (tree.frozen or rests(processes)):
                report.busy = True
                return
        newest = self._savepoints.of_unchanged(tree) if command.unless_unchanged else None
        if newest is not None:
            if command.leave_frozen:
                tree.freeze()
            report.unchanged, report.savepoint_id = True, newest
            return
        was_frozen = tree.frozen
        report.savepoint_id = await self._savepoints.take(command.kind, command.name, leave_frozen=command.leave_frozen)
        if self._thaws != thaws:
            await self._savepoints.in_criu_thread(tree.thaw)
            return
        if was_frozen and not command.leave_frozen:
            tree.freeze()

    def _ask_conversation(self) -> Conversation:
        """From CRIU's thread, while the tree stands still: what the event loop knows of the pipes."""
        answer: Future[Conversation] = Future()

        def in_loop() -> None:
            try:
                channel = self._channel
                in_flight = channel.in_flight() if channel is not None else InFlight()
                answer.set_result(Conversation(in_flight, tuple(self._open.values()), self._last_seq))
            except BaseException as error:  # noqa: BLE001 - the waiting thread must hear of it
                answer.set_exception(error)

        self._loop.call_soon_threadsafe(in_loop)
        return answer.result()

    # --- loads

    async def _restore(self, command: pb.RestoreSavepoint, report: pb.ReportCommandRequest) -> None:
        """Restore beside the tree that lives, then swap. On failure the old tree is as it was before the command."""
        thaws = self._thaws
        async with self._savepoints.lock:
            old = self._tree
            was_frozen = old.frozen if old is not None else False
            if old is not None and not was_frozen:
                old.freeze()
            faults.reach("agent.restore.before")
            try:
                restored = await self._savepoints.in_criu_thread(self._restore_beside, old, SPOOL / command.image_dir)
            except BaseException:
                if old is self._tree and old is not None and not was_frozen:
                    old.thaw()
                raise
            faults.reach("agent.swap.before")
            if self._thaws != thaws and old is not None and old is self._tree and not old.replaced:
                self._end_tree(restored.tree)
                old.thaw()
                raise AgentError("the controller that asked for the load is gone; the tree of before goes on")
            self._leave_tree()
            self._started = True
            self._savepoints.branch = command.branch
            self._restored = json.loads(command.restored_json) if command.restored_json else None
            self._savepoints.loaded(command.savepoint_id)
            report.restore_us = restored.restore_us
            self._last_seq = restored.conversation.last_seq
            self._adopt(restored.tree, restored.conversation.in_flight)
            for call in restored.conversation.open_calls:
                self._open[call.seq] = call
                if command.recovery:
                    self._spawn_carrying(self._carry_again(call, ""))
                elif call.name == _CREATE_DUMP:
                    # It just returns, and only says what is known here.
                    header = {"seq": call.seq, "restored": self._restored}
                    self._reply(call, header, json.dumps(command.savepoint_id).encode())
                else:
                    self._spawn_carrying(self._carry_again(call, command.savepoint_id))
            if old is not None:
                # Last: unmounting takes a while, and the restored tree need not wait for it.
                self._end_tree(old)
            faults.reach("agent.swap.after")
        self._kit = asyncio.create_task(asyncio.to_thread(self._new_kit))

    def _restore_beside(self, old: Tree | None, folder: Path) -> savepoint.Restored:
        """In CRIU's thread."""
        try:
            return savepoint.restore(folder, self._next_kit)
        except CriuRefused as error:
            if old is None or _ADDRESS_IN_USE not in str(error):
                raise
        # A port on which both trees listen can't be bound twice: the old one has to go first. It is kept as an image.
        kept = folder.with_name(f"{folder.name}-kept")
        self._savepoints.dump(old, kept, leave_frozen=True)
        old.replaced = True
        old.kill()
        try:
            return savepoint.restore(folder, self._new_kit)
        except (CriuRefused, OSError, ValueError) as error:
            try:
                back = savepoint.restore(kept, self._new_kit)
            except (CriuRefused, OSError, ValueError) as loss:
                words = f"{error}; the tree that had to go first, for its port, could not be brought back: {loss}"
                self._loop.call_soon_threadsafe(self._lose, old, words)
                raise CriuRefused(words) from loss
            self._loop.call_soon_threadsafe(self._bring_back, old, back)
            raise
        finally:
            savepoint.remove_folder(kept)

    def _bring_back(self, old: Tree, back: savepoint.Restored) -> None:
        """The tree that had to go first is alive again, in another process: its open calls are still carried out."""
        back.tree.freeze()
        open_calls = dict(self._open)
        if self._channel is not None:
            self._channel.close()
        self._output.forget(old.pipes.ours_stdout)
        self._output.forget(old.pipes.ours_stderr)
        self._adopt(back.tree, back.conversation.in_flight)
        self._open.update(open_calls)
        old.scratch.discard()

    def _lose(self, old: Tree, words: str) -> None:
        """No tree lives any more: that is the execution's end, and it can still be loaded."""
        self._said_end = {"end": "raised", "error": words}
        self._spawn_carrying(self._tell_end(old, -signal.SIGKILL))

    def _next_kit(self) -> Kit:
        """The one that was prepared ahead, the first time."""
        prepared, self._kit = self._kit, None
        if prepared is not None and prepared.done():
            return prepared.result()
        return self._new_kit()

    def _new_kit(self) -> Kit:
        return Kit.prepare(self._config.scratch_limit_bytes)

    def _leave_tree(self) -> None:
        """Drop the conversation with the present tree: nothing of it reaches the restored one."""
        for task in self._carrying:
            task.cancel()
        self._open.clear()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._tree is not None:
            self._tree.replaced = True
            self._output.forget(self._tree.pipes.ours_stdout)
            self._output.forget(self._tree.pipes.ours_stderr)
            self._tree = None

    def _end_tree(self, tree: Tree) -> None:
        """A tree that another one has replaced."""
        tree.kill()
        tree.scratch.discard()

    # --- processes that end

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._tree is not None and pid == self._tree.pid and not self._tree.replaced:
                self._spawn_carrying(self._tell_end(self._tree, os.waitstatus_to_exitcode(status)))

    async def _tell_end(self, tree: Tree, exit_status: int) -> None:
        """The flow's first process ended by itself."""
        if self._channel is not None:
            self._channel.drain()
        self._output.forget(tree.pipes.ours_stdout)
        self._output.forget(tree.pipes.ours_stderr)
        await self._output.flush()
        said = self._said_end or {}
        if said.get("end") == "returned":
            report = pb.ReportExitRequest(returned=True, exit_status=exit_status)
        elif "error" in said:
            report = pb.ReportExitRequest(error=str(said["error"]), exit_status=exit_status)
        else:
            report = pb.ReportExitRequest(exit_status=exit_status)
        report.branch = self._savepoints.branch
        faults.reach("agent.end.before")
        await self._session.report_exit(report)
        faults.reach("agent.end.after")
        if tree is self._tree:
            self._tree = None
