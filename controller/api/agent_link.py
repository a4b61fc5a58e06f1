"""AgentLinks: the command stream of each agent, and the reports that answer commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from flowsnap.v1 import agent_pb2

from controller.api.pack import flow_file, kind_to_proto
from controller.errors import Internal, Unavailable
from controller.ids import new_id
from controller.live import REATTACH_LIMIT_S
from controller.model import Flow, Json, SavepointKind
from controller.ports import CommandResult

Stream = asyncio.Queue[agent_pb2.Command | None]


class StreamLink:
    """Implements controller.ports.AgentLink on whichever stream of the agent is the newest."""

    def __init__(self, execution_id: str, agent_id: str, on_gone: Callable[[StreamLink], None]) -> None:
        self.agent_id = agent_id
        self.execution_id = execution_id
        self._on_gone = on_gone
        self._stream: Stream | None = None
        self._pending: dict[str, asyncio.Future[CommandResult]] = {}
        self._giving_up: asyncio.TimerHandle | None = None

    async def start(self, flow: Flow, file_name: str, execution: Json) -> None:
        files = map(flow_file, flow.files)
        start = agent_pb2.StartFlow(script=flow.script, file_name=file_name, execution_json=execution, files=files)
        self._send(agent_pb2.Command(start=start))

    async def savepoint(
        self,
        kind: SavepointKind,
        name: str = "",
        *,
        leave_frozen: bool = False,
        unless_unchanged: bool = False,
        if_idle: bool = False,
    ) -> CommandResult:
        take = agent_pb2.TakeSavepoint(
            kind=kind_to_proto(kind),
            name=name,
            leave_frozen=leave_frozen,
            unless_unchanged=unless_unchanged,
            if_idle=if_idle,
        )
        return await self._ask(agent_pb2.Command(command_id=new_id(), savepoint=take))

    async def thaw(self) -> None:
        await self._ask(agent_pb2.Command(command_id=new_id(), thaw=agent_pb2.Thaw()))

    async def restore(
        self, image_dir: str, savepoint_id: str, branch: int, restored: Json, *, recovery: bool = False
    ) -> CommandResult:
        restore = agent_pb2.RestoreSavepoint(
            image_dir=image_dir,
            savepoint_id=savepoint_id,
            branch=branch,
            restored_json=restored,
            recovery=recovery,
        )
        return await self._ask(agent_pb2.Command(command_id=new_id(), restore=restore))

    async def stop(self) -> None:
        if self._stream is not None:
            self._stream.put_nowait(agent_pb2.Command(stop=agent_pb2.Stop()))

    def attach(self) -> Stream:
        """A new stream, which ends the one before."""
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        if self._stream is not None:
            self._stream.put_nowait(None)
        self._stream = asyncio.Queue()
        return self._stream

    def detach(self, stream: Stream) -> bool:
        """The stream ended. False: a newer one has taken its place.

        Its agent may still report by other RPCs, and attach again; for a while.
        """
        if self._stream is not stream:
            return False
        self._stream = None
        self._giving_up = asyncio.get_running_loop().call_later(REATTACH_LIMIT_S, self._on_gone, self)
        return True

    def close(self) -> None:
        """The agent is gone: whoever waits for a report hears of it."""
        if self._giving_up is not None:
            self._giving_up.cancel()
        for report in self._pending.values():
            if not report.done():
                report.set_exception(Unavailable(f"execution {self.execution_id}: its agent is gone; try again"))

    def report(self, request: agent_pb2.ReportCommandRequest) -> None:
        """A command's outcome; one that nobody waits for any more is dropped."""
        report = self._pending.get(request.command_id)
        if report is None or report.done():
            return
        if request.ok:
            result = CommandResult(request.savepoint_id, request.unchanged, request.busy, request.restore_us)
            report.set_result(result)
        else:
            report.set_exception(
                Internal(f"execution {self.execution_id}: {request.error or 'its agent gave no reason'}")
            )

    def _send(self, command: agent_pb2.Command) -> None:
        if self._stream is None:
            raise Unavailable(f"execution {self.execution_id}: its agent is not attached now; try again")
        self._stream.put_nowait(command)

    async def _ask(self, command: agent_pb2.Command) -> CommandResult:
        report: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._pending[command.command_id] = report
        try:
            self._send(command)
            result = await report
        finally:
            del self._pending[command.command_id]
        return result


class AgentLinks:
    """The link of each execution's present agent."""

    def __init__(self) -> None:
        self._links: dict[str, StreamLink] = {}

    def open(self, execution_id: str, agent_id: str) -> StreamLink:
        """The agent's link; another agent of the same execution (a new container) takes the old one's place."""
        link = self._links.get(execution_id)
        if link is None or link.agent_id != agent_id:
            if link is not None:
                link.close()
            link = self._links[execution_id] = StreamLink(execution_id, agent_id, self.drop)
        return link

    def get(self, execution_id: str) -> StreamLink | None:
        return self._links.get(execution_id)

    def drop(self, link: StreamLink) -> None:
        """Its agent is gone for good."""
        link.close()
        if self._links.get(link.execution_id) is link:
            del self._links[link.execution_id]


async def commands(stream: Stream) -> AsyncIterator[agent_pb2.Command]:
    """What was put into the stream, until a newer stream has taken its place."""
    while (command := await stream.get()) is not None:
        yield command
