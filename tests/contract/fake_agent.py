"""An agent without CRIU: its process tree is a dictionary; the contract and the socket are the real ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from pathlib import Path
from typing import Any

import grpc
from flowsnap.v1 import agent_pb2 as pb
from flowsnap.v1 import agent_pb2_grpc, types_pb2
from grpc import aio

from agent.commit_record import write_commit_record

AFTER_SAVEPOINT = {"success", "error", "load_dump", "create_dump", "save_dump", "pause"}


class FlowError(Exception):
    def __init__(self, error: pb.CallError) -> None:
        super().__init__(error.message)
        self.type = error.type
        self.message = error.message


class Halted(Exception):
    """The flow never hears of the call again."""


class FakeAgent:
    """Driven by tests: call() is what a flow would do; commands of the controller are obeyed by themselves."""

    def __init__(self, folder: Path, socket: Path) -> None:
        # A dump is then complete in the spool, and nobody is told.
        self.dies_before_commit = False
        self.folder = folder
        self.settings = json.loads((folder / "agent.json").read_text())
        self.branch: int = self.settings["branch"]
        self.agent_id = uuid.uuid4().hex
        self.seq = 0
        self.open: dict[int, dict[str, Any]] = {}
        self.memory: dict[str, Any] = {}
        self.started: asyncio.Future[pb.StartFlow] = asyncio.get_running_loop().create_future()
        self.redone: asyncio.Queue[Any] = asyncio.Queue()
        self.restored: dict[str, Any] | None = None
        self.busy = False  # its tree does something besides waiting
        self.deaf = False  # takes a command to restore and does nothing
        self.heard = asyncio.Event()
        self.frozen = False
        self.running = False
        self.ran = False
        self.stopped = asyncio.Event()
        self.fail_restores = ""
        self.fail_savepoints = ""
        self.thaws = 0
        self._unchanged_since: str = ""
        self._channel = aio.insecure_channel(f"unix:{socket}")
        self.stub = agent_pb2_grpc.AgentServiceStub(self._channel)
        self.metadata = (("authorization", f"Bearer {self.settings['token']}"),)
        self._tasks: set[asyncio.Task[None]] = set()
        self._attaching = asyncio.create_task(self._attach())

    async def close(self) -> None:
        self._attaching.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(self._attaching, *self._tasks, return_exceptions=True)
        await self._channel.close()

    async def call(self, name: str, /, **args: Any) -> Any:
        """Raises FlowError, Halted."""
        self.seq += 1
        call = {"seq": self.seq, "name": name, "args": args}
        self.open[self.seq] = call
        self._unchanged_since = ""
        if name in AFTER_SAVEPOINT:
            await self._dump(types_pb2.SAVEPOINT_KIND_CALL, call)
            return await self._carry_out(call)
        saved, answer = await asyncio.gather(
            self._dump(types_pb2.SAVEPOINT_KIND_CALL, call), self._carry_out(call), return_exceptions=True
        )
        for outcome in (saved, answer):
            if isinstance(outcome, BaseException):
                raise outcome
        # The tree runs on with the answer, whichever of the two came last.
        self._unchanged_since = ""
        return answer

    async def end(self, name: str, message: str) -> None:
        """A call that ends the execution: its answer is silence, or the end of the agent."""
        with contextlib.suppress(Halted, aio.AioRpcError, asyncio.CancelledError):
            await self.call(name, message=message)

    async def exit(self, *, returned: bool = False, status: int = 0, error: str = "") -> None:
        report = pb.ReportExitRequest(branch=self.branch, returned=returned, exit_status=status, error=error)
        await self.stub.ReportExit(report, metadata=self.metadata)

    async def vanish(self, status: int, error: str = "") -> None:
        """As exit; the container may go before the report is answered."""
        with contextlib.suppress(aio.AioRpcError, asyncio.CancelledError):
            await self.exit(status=status, error=error)

    async def print(self, text: str) -> None:
        line = types_pb2.LogLine(stream="stdout", text=text)
        await self.stub.AppendLog(pb.AppendLogRequest(lines=[line]), metadata=self.metadata)

    async def report_usage(self, *samples: types_pb2.UsageSample) -> None:
        request = pb.ReportUsageRequest(agent_id=self.agent_id, samples=samples)
        await self.stub.ReportUsage(request, metadata=self.metadata)

    async def _carry_out(self, call: dict[str, Any], redo_of: str = "") -> Any:
        request = pb.CallRequest(
            branch=self.branch,
            seq=call["seq"],
            name=call["name"],
            args_json=json.dumps(call["args"]).encode(),
            file="flow.py",
            line=call["seq"],
            function="handler",
            redo_of_savepoint_id=redo_of,
        )
        response = await self.stub.Call(request, metadata=self.metadata, wait_for_ready=True)
        if response.HasField("halt"):
            if response.halt.end:
                self.stopped.set()
            raise Halted
        self.open.pop(call["seq"], None)
        self._unchanged_since = ""
        if response.HasField("error"):
            raise FlowError(response.error)
        return json.loads(response.value_json)

    async def _dump(
        self, kind: types_pb2.SavepointKind.ValueType, call: dict[str, Any] | None = None, name: str = ""
    ) -> pb.CommitSavepointResponse:
        image_dir = f"dump-{uuid.uuid4().hex}"
        folder = self.folder / "spool" / image_dir
        folder.mkdir()
        state = {"seq": self.seq, "open": list(self.open.values()), "memory": self.memory}
        (folder / "state.json").write_text(json.dumps(state))
        (folder / "pages.img").write_bytes(bytes(8192))
        request = pb.CommitSavepointRequest(
            kind=kind,
            name=name,
            branch=self.branch,
            seq=0 if call is None else call["seq"],
            call="" if call is None else call["name"],
            file="flow.py",
            line=0 if call is None else call["seq"],
            function="handler",
            image_dir=image_dir,
            frozen_us=5000,
            dump_us=9000,
            open_calls=[open_call["name"] for open_call in self.open.values()],
            last_seq=self.seq,
        )
        write_commit_record(folder, request)
        if self.dies_before_commit:
            raise Halted
        saved = await self.stub.CommitSavepoint(request, metadata=self.metadata, wait_for_ready=True)
        self._unchanged_since = saved.savepoint_id
        return saved

    async def _attach(self) -> None:
        while not self.stopped.is_set():
            request = pb.AttachRequest(
                criu_version="4.2.1",
                agent_id=self.agent_id,
                running=self.running,
                branch=self.branch,
                fresh=not self.ran,
            )
            try:
                stream = self.stub.Attach(request, metadata=self.metadata)
                async for command in stream:
                    if command.HasField("stop"):
                        self.stopped.set()
                        stream.cancel()
                        return
                    task = asyncio.create_task(self._obey(command))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
            except aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.05)

    async def _obey(self, command: pb.Command) -> None:
        report = pb.ReportCommandRequest(command_id=command.command_id, ok=True)
        try:
            match command.WhichOneof("command"):
                case "start":
                    self.running = self.ran = True
                    self.started.set_result(command.start)
                    return
                case "savepoint" if command.savepoint.if_idle and self.busy:
                    report.busy = True
                case "savepoint":
                    report.savepoint_id, report.unchanged = await self._take(command.savepoint)
                case "thaw":
                    self.frozen = False
                    self.thaws += 1
                case "restore" if self.deaf:
                    self.heard.set()
                    return
                case "restore":
                    report.restore_us = await self._restore(command.restore)
        except (aio.AioRpcError, RuntimeError) as error:
            report.ok = False
            report.error = error.details() or "" if isinstance(error, aio.AioRpcError) else str(error)
        await self.stub.ReportCommand(report, metadata=self.metadata)

    async def _take(self, take: pb.TakeSavepoint) -> tuple[str, bool]:
        if self.fail_savepoints:
            raise RuntimeError(self.fail_savepoints)
        self.frozen = self.frozen or take.leave_frozen
        if take.unless_unchanged and self._unchanged_since:
            return self._unchanged_since, True
        return (await self._dump(take.kind, name=take.name)).savepoint_id, False

    async def _restore(self, restore: pb.RestoreSavepoint) -> int:
        if self.fail_restores:
            raise RuntimeError(self.fail_restores)
        state = json.loads((self.folder / "spool" / restore.image_dir / "state.json").read_text())
        self.branch = restore.branch
        self.seq = state["seq"]
        self.memory = state["memory"]
        self.open = {call["seq"]: call for call in state["open"]}
        self.restored = json.loads(restore.restored_json)
        self.frozen = False
        self.running = self.ran = True
        self._unchanged_since = ""
        for call in self.open.values():
            task = asyncio.create_task(self._redo(call, "" if restore.recovery else restore.savepoint_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return 14000

    async def _redo(self, call: dict[str, Any], savepoint_id: str) -> None:
        try:
            self.redone.put_nowait(await self._carry_out(call, savepoint_id))
        except (FlowError, Halted) as error:
            self.redone.put_nowait(error)
