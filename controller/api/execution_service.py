"""ExecutionService: executions for clients."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import control_pb2_grpc
from grpc import aio

from controller.api import pack
from controller.api import retention_service as retention
from controller.cancels import Cancels
from controller.executions import Executions, NewExecution
from controller.forks import ForkRequest, Forks
from controller.pauses import Pauses
from controller.watching import Watching

Context = aio.ServicerContext[Any, Any]


class ExecutionService(control_pb2_grpc.ExecutionServiceServicer):
    """One method per RPC of flowsnap.v1.ExecutionService."""

    def __init__(
        self, executions: Executions, pauses: Pauses, cancels: Cancels, watching: Watching, forks: Forks
    ) -> None:
        self._executions = executions
        self._pauses = pauses
        self._cancels = cancels
        self._watching = watching
        self._forks = forks

    async def CreateExecution(self, request: pb.CreateExecutionRequest, context: Context) -> pb.CreateExecutionResponse:
        new = NewExecution(
            script=request.script,
            flow_name=request.flow_name,
            input_value=request.input_value_json,
            name=request.name,
            container_image=request.container_image,
            memory_limit_bytes=request.memory_limit_bytes,
            pids_limit=request.pids_limit,
            files=tuple(map(pack.flow_file_from_proto, request.files)),
            script_file=request.script_file,
            pushed=request.flow,
            keep=retention.rule_from_proto(request.keep) if request.HasField("keep") else None,
            retry=pack.retry_rule_from_proto(request.retry) if request.HasField("retry") else None,
        )
        return pb.CreateExecutionResponse(execution=pack.execution(await self._executions.create(new)))

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Context) -> pb.GetExecutionResponse:
        execution = await self._executions.find(request.execution)
        flow = await self._executions.flow(execution)
        children = await self._executions.children(execution.id)
        return pb.GetExecutionResponse(
            execution=pack.execution(execution),
            script="" if flow is None else flow.script,
            files=() if flow is None else map(pack.flow_file, flow.files),
            children=map(pack.execution, children),
        )

    async def ListExecutions(self, request: pb.ListExecutionsRequest, context: Context) -> pb.ListExecutionsResponse:
        statuses = [pack.status_from_proto(status) for status in request.statuses]
        page, token = await self._executions.list(
            statuses, request.flow_name, request.page_size, request.page_token, with_tasks=request.with_tasks
        )
        return pb.ListExecutionsResponse(executions=map(pack.execution, page), next_page_token=token)

    async def WatchExecution(
        self, request: pb.WatchExecutionRequest, context: Context
    ) -> AsyncIterator[pb.WatchExecutionResponse]:
        execution = await self._executions.find(request.execution)
        async for present in self._watching.execution(execution.id, keep_open=request.keep_open):
            yield pb.WatchExecutionResponse(execution=pack.execution(present))

    async def ReadLog(self, request: pb.ReadLogRequest, context: Context) -> AsyncIterator[pb.ReadLogResponse]:
        execution = await self._executions.find(request.execution)
        async for lines in self._watching.log(execution.id, request.after_number, follow=request.follow):
            yield pb.ReadLogResponse(lines=map(pack.log_line, lines))

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        execution = await self._executions.find(request.execution)
        usage = await self._executions.usage(execution.id)
        return pb.GetUsageResponse(
            samples=map(pack.usage_sample, usage.samples),
            cpu_us=usage.cpu_us,
            peak_memory_bytes=usage.peak_memory_bytes,
            peak_pids=usage.peak_pids,
        )

    async def PauseExecution(self, request: pb.PauseExecutionRequest, context: Context) -> pb.PauseExecutionResponse:
        execution = await self._executions.find(request.execution)
        return pb.PauseExecutionResponse(execution=pack.execution(await self._pauses.pause(execution.id)))

    async def ResumeExecution(self, request: pb.ResumeExecutionRequest, context: Context) -> pb.ResumeExecutionResponse:
        execution = await self._executions.find(request.execution)
        return pb.ResumeExecutionResponse(execution=pack.execution(await self._pauses.resume(execution.id)))

    async def CancelExecution(self, request: pb.CancelExecutionRequest, context: Context) -> pb.CancelExecutionResponse:
        execution = await self._executions.find(request.execution)
        cancelled = await self._cancels.cancel(execution.id, request.reason)
        return pb.CancelExecutionResponse(execution=pack.execution(cancelled))

    async def ForkExecution(self, request: pb.ForkExecutionRequest, context: Context) -> pb.ForkExecutionResponse:
        execution = await self._executions.find(request.execution)
        wanted = ForkRequest(
            savepoint=pack.selector_from_proto(request.savepoint) if request.HasField("savepoint") else None,
            count=request.count or 1,
            input_value=request.input_json,
            name=request.name,
        )
        source, forks = await self._forks.fork(execution.id, wanted)
        return pb.ForkExecutionResponse(executions=map(pack.execution, forks), savepoint=pack.savepoint(source))

    async def DeleteExecution(self, request: pb.DeleteExecutionRequest, context: Context) -> pb.DeleteExecutionResponse:
        execution = await self._executions.find(request.execution)
        await self._executions.delete(execution.id, force=request.force)
        return pb.DeleteExecutionResponse()
