"""SystemService: the controller itself, for clients."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import control_pb2_grpc
from grpc import aio

from controller.ports import Database
from controller.services import Services
from controller.trial import Trial

Context = aio.ServicerContext[Any, Any]


class SystemService(control_pb2_grpc.SystemServiceServicer):
    """One method per RPC of flowsnap.v1.SystemService."""

    def __init__(self, services: Services, trial: Trial, shut_down: Callable[[bool], None]) -> None:
        self._services = services
        self._trial = trial
        self._shut_down = shut_down

    async def GetSystemInfo(self, request: pb.GetSystemInfoRequest, context: Context) -> pb.GetSystemInfoResponse:
        services = self._services
        executions, running, savepoints = await services.db(Database.counts)
        return pb.GetSystemInfoResponse(
            version=version("flowsnap"),
            data_dir=str(services.config.data_dir),
            pid=os.getpid(),
            container_image=services.config.container_image,
            store_bytes=await services.in_store(services.store.size_bytes),
            executions=executions,
            running=running,
            savepoints=savepoints,
        )

    async def CollectGarbage(self, request: pb.CollectGarbageRequest, context: Context) -> pb.CollectGarbageResponse:
        services = self._services
        live_ids = await services.db(Database.savepoint_ids)
        collected = await services.in_store(services.store.collect, live_ids, dry_run=request.dry_run)
        return pb.CollectGarbageResponse(removed_packs=collected.removed_packs, removed_bytes=collected.removed_bytes)

    async def RunTrial(self, request: pb.RunTrialRequest, context: Context) -> pb.RunTrialResponse:
        result = await self._trial.run(request.container_image)
        return pb.RunTrialResponse(
            ok=result.ok,
            detail=result.detail,
            criu_version=result.criu_version,
            dump_us=result.dump_us,
            restore_us=result.restore_us,
        )

    async def Shutdown(self, request: pb.ShutdownRequest, context: Context) -> pb.ShutdownResponse:
        self._shut_down(request.stop_executions)
        return pb.ShutdownResponse()
