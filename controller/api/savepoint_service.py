"""SavepointService: savepoints and loads for clients."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import control_pb2_grpc
from grpc import aio

from controller.api import pack, pack_inspection
from controller.executions import Executions
from controller.exports import Exports
from controller.imports import Imports
from controller.inspections import Inspections
from controller.loads import Loads, Request
from controller.savepoints import Savepoints
from controller.undos import Undos

Context = aio.ServicerContext[Any, Any]


class SavepointService(control_pb2_grpc.SavepointServiceServicer):
    """One method per RPC of flowsnap.v1.SavepointService."""

    def __init__(
        self,
        executions: Executions,
        savepoints: Savepoints,
        loads: Loads,
        undos: Undos,
        inspections: Inspections,
        exports: Exports,
        imports: Imports,
    ) -> None:
        self._executions = executions
        self._exports = exports
        self._imports = imports
        self._savepoints = savepoints
        self._loads = loads
        self._undos = undos
        self._inspections = inspections

    async def CreateSavepoint(self, request: pb.CreateSavepointRequest, context: Context) -> pb.CreateSavepointResponse:
        execution = await self._executions.find(request.execution)
        savepoint = await self._savepoints.create(execution.id, request.name)
        return pb.CreateSavepointResponse(savepoint=pack.savepoint(savepoint))

    async def ListSavepoints(self, request: pb.ListSavepointsRequest, context: Context) -> pb.ListSavepointsResponse:
        execution = await self._executions.find(request.execution)
        savepoints = await self._savepoints.list(execution.id)
        return pb.ListSavepointsResponse(savepoints=filter(None, map(pack.savepoint, savepoints)))

    async def GetSavepoint(self, request: pb.GetSavepointRequest, context: Context) -> pb.GetSavepointResponse:
        execution = await self._executions.find(request.execution)
        savepoint = await self._savepoints.resolve(execution, pack.selector_from_proto(request.savepoint))
        return pb.GetSavepointResponse(savepoint=pack.savepoint(savepoint))

    async def InspectSavepoint(
        self, request: pb.InspectSavepointRequest, context: Context
    ) -> pb.InspectSavepointResponse:
        execution = await self._executions.find(request.execution)
        savepoint = await self._savepoints.resolve(execution, pack.selector_from_proto(request.savepoint))
        report = await self._inspections.inspect(execution, savepoint)
        return pb.InspectSavepointResponse(inspection=pack_inspection.inspection(savepoint, report))

    async def DiffSavepoints(self, request: pb.DiffSavepointsRequest, context: Context) -> pb.DiffSavepointsResponse:
        execution = await self._executions.find(request.execution)
        before = await self._savepoints.resolve(execution, pack.selector_from_proto(request.before))
        after = await self._savepoints.resolve(execution, pack.selector_from_proto(request.after))
        difference = await self._inspections.compare(execution, before, after)
        return pb.DiffSavepointsResponse(comparison=pack_inspection.comparison(before, after, difference))

    async def LoadSavepoint(self, request: pb.LoadSavepointRequest, context: Context) -> pb.LoadSavepointResponse:
        execution = await self._executions.find(request.execution)
        load = Request("operator", pack.selector_from_proto(request.savepoint), dry_run=request.dry_run)
        result = await self._loads.load(execution.id, load)
        return pb.LoadSavepointResponse(
            execution=pack.execution(result.execution),
            savepoint=pack.savepoint(result.savepoint),
            before=pack.savepoint(result.before),
            left_behind=len(result.left_behind),
            repeated_calls=result.repeated_calls,
            restore_us=result.restore_us,
            total_us=result.total_us,
        )

    async def DeleteSavepoints(
        self, request: pb.DeleteSavepointsRequest, context: Context
    ) -> pb.DeleteSavepointsResponse:
        execution = await self._executions.find(request.execution)
        removed = await self._savepoints.remove(execution, list(map(pack.selector_from_proto, request.savepoints)))
        return pb.DeleteSavepointsResponse(savepoints=filter(None, map(pack.savepoint, removed)))

    async def ExportSavepoint(
        self, request: pb.ExportSavepointRequest, context: Context
    ) -> AsyncIterator[pb.ExportSavepointResponse]:
        execution = await self._executions.find(request.execution)
        wanted = pack.selector_from_proto(request.savepoint) if request.HasField("savepoint") else None
        savepoint = await self._exports.find(execution, wanted)
        yield pb.ExportSavepointResponse(savepoint=pack.savepoint(savepoint))
        async for part in self._exports.export(execution, savepoint):
            yield pb.ExportSavepointResponse(data=part.data, done_bytes=part.done_bytes, total_bytes=part.total_bytes)

    async def ImportSavepoint(
        self, requests: AsyncIterator[pb.ImportSavepointRequest], context: Context
    ) -> pb.ImportSavepointResponse:
        first = await anext(requests, pb.ImportSavepointRequest())

        async def parts() -> AsyncIterator[bytes]:
            yield first.data
            async for request in requests:
                yield request.data

        imported = await self._imports.receive(parts(), first.name)
        return pb.ImportSavepointResponse(
            execution=pack.execution(imported.execution),
            savepoint=pack.savepoint(imported.savepoint),
            original_id=imported.original_id,
        )

    async def UndoLoad(self, request: pb.UndoLoadRequest, context: Context) -> pb.UndoLoadResponse:
        execution = await self._executions.find(request.execution)
        result = await self._undos.undo(execution.id)
        return pb.UndoLoadResponse(
            execution=pack.execution(result.execution),
            savepoint=pack.savepoint(result.savepoint),
            undone=pack.savepoint(result.undone),
        )
