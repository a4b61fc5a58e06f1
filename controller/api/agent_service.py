"""AgentService: what agents say, each under the token of its execution."""

# Method names and arguments are the contract's.
# ruff: noqa: N802

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from flowsnap.v1 import agent_pb2, agent_pb2_grpc
from grpc import aio

from controller.agents import Agents, Attachment, Exit
from controller.api.agent_link import AgentLinks, commands
from controller.api.pack import kind_from_proto, log_line_from_proto, usage_sample_from_proto
from controller.calls import CallRequest, Calls
from controller.errors import PermissionDenied
from controller.model import Outcome
from controller.savepoints import Dump, Savepoints
from controller.tokens import AgentTokens

Context = aio.ServicerContext[Any, Any]

_SCHEME = "Bearer "


class AgentService(agent_pb2_grpc.AgentServiceServicer):
    """One method per RPC of flowsnap.v1.AgentService."""

    def __init__(self, tokens: AgentTokens, agents: Agents, calls: Calls, savepoints: Savepoints) -> None:
        self._tokens = tokens
        self._agents = agents
        self._calls = calls
        self._savepoints = savepoints
        self._links = AgentLinks()

    async def Attach(self, request: agent_pb2.AttachRequest, context: Context) -> AsyncIterator[agent_pb2.Command]:
        execution_id = self._execution_id(context)
        link = self._links.open(execution_id, request.agent_id)
        stream = link.attach()
        try:
            # So that the agent knows it is heard before there is anything to do.
            await context.send_initial_metadata(())
            attachment = Attachment(request.criu_version, request.running, request.branch, request.fresh)
            await self._agents.attached(execution_id, link, attachment)
            async for command in commands(stream):
                yield command
        finally:
            if link.detach(stream) and self._agents.detached(execution_id, link):
                self._links.drop(link)

    async def Call(self, request: agent_pb2.CallRequest, context: Context) -> agent_pb2.CallResponse:
        call = CallRequest(
            request.branch,
            request.seq,
            request.name,
            request.args_json,
            request.file,
            request.line,
            request.function,
            request.redo_of_savepoint_id,
        )
        return _response(await self._calls.carry_out(self._execution_id(context), call))

    async def CommitSavepoint(
        self, request: agent_pb2.CommitSavepointRequest, context: Context
    ) -> agent_pb2.CommitSavepointResponse:
        dump = Dump(
            kind=kind_from_proto(request.kind),
            name=request.name,
            branch=request.branch,
            seq=request.seq,
            call=request.call,
            file=request.file,
            line=request.line,
            function=request.function,
            image_dir=request.image_dir,
            frozen_us=request.frozen_us,
            dump_us=request.dump_us,
            open_calls=tuple(request.open_calls),
            last_seq=request.last_seq,
        )
        savepoint = await self._savepoints.commit(self._execution_id(context), dump)
        return agent_pb2.CommitSavepointResponse(savepoint_id=savepoint.id, number=savepoint.number)

    async def AppendLog(self, request: agent_pb2.AppendLogRequest, context: Context) -> agent_pb2.AppendLogResponse:
        lines = [log_line_from_proto(line) for line in request.lines]
        await self._agents.append_log(self._execution_id(context), lines)
        return agent_pb2.AppendLogResponse()

    async def ReportCommand(
        self, request: agent_pb2.ReportCommandRequest, context: Context
    ) -> agent_pb2.ReportCommandResponse:
        link = self._links.get(self._execution_id(context))
        if link is not None:
            link.report(request)
        return agent_pb2.ReportCommandResponse()

    async def ReportExit(self, request: agent_pb2.ReportExitRequest, context: Context) -> agent_pb2.ReportExitResponse:
        how = Exit(request.branch, request.returned, request.exit_status, request.error)
        await self._agents.exited(self._execution_id(context), how)
        return agent_pb2.ReportExitResponse()

    async def ReportUsage(
        self, request: agent_pb2.ReportUsageRequest, context: Context
    ) -> agent_pb2.ReportUsageResponse:
        samples = [usage_sample_from_proto(sample, request.agent_id) for sample in request.samples]
        await self._agents.report_usage(self._execution_id(context), samples)
        return agent_pb2.ReportUsageResponse()

    def _execution_id(self, context: Context) -> str:
        """Raises PermissionDenied."""
        for key, value in context.invocation_metadata() or ():
            if key == "authorization" and isinstance(value, str) and value.startswith(_SCHEME):
                return self._tokens.execution_id(value.removeprefix(_SCHEME))
        raise PermissionDenied("the request carries no agent's token; send 'authorization: Bearer <token>'")


def _response(outcome: Outcome) -> agent_pb2.CallResponse:
    if outcome.halt:
        return agent_pb2.CallResponse(halt=agent_pb2.Halt(end=outcome.end))
    if outcome.error_type:
        error = agent_pb2.CallError(type=outcome.error_type, message=outcome.error_message)
        return agent_pb2.CallResponse(error=error)
    return agent_pb2.CallResponse(value_json=outcome.value)
