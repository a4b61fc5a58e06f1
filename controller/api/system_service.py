"""SystemService: the controller itself, for clients."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import control_pb2_grpc
from grpc import aio

from controller.ports import Host
from controller.retention import Retentions
from controller.services import Services
from controller.system import system_info
from controller.trial import Trial

Context = aio.ServicerContext[Any, Any]


class SystemService(control_pb2_grpc.SystemServiceServicer):
    """One method per RPC of flowsnap.v1.SystemService."""

    def __init__(
        self, services: Services, trial: Trial, retentions: Retentions, shut_down: Callable[[bool], None]
    ) -> None:
        self._services = services
        self._trial = trial
        self._retentions = retentions
        self._shut_down = shut_down

    async def GetSystemInfo(self, request: pb.GetSystemInfoRequest, context: Context) -> pb.GetSystemInfoResponse:
        info = await system_info(self._services)
        hosts = await self._services.launcher.hosts() if request.with_hosts else ()
        return pb.GetSystemInfoResponse(
            version=info.version,
            data_dir=str(info.data_dir),
            pid=info.pid,
            container_image=info.container_image,
            store_bytes=info.store_bytes,
            executions=info.executions,
            running=info.running,
            savepoints=info.savepoints,
            hosts=[_host(one) for one in hosts],
        )

    async def CollectGarbage(self, request: pb.CollectGarbageRequest, context: Context) -> pb.CollectGarbageResponse:
        garbage = await self._retentions.collect(dry_run=request.dry_run)
        executions = [
            pb.RemovedSavepoints(
                execution_id=removal.execution.id,
                execution_name=removal.execution.name,
                numbers=[savepoint.number for savepoint in removal.savepoints],
            )
            for removal in garbage.removals
        ]
        return pb.CollectGarbageResponse(
            removed_packs=garbage.removed_packs,
            removed_bytes=garbage.removed_bytes,
            removed_savepoints=sum(len(removal.savepoints) for removal in garbage.removals),
            executions=executions,
        )

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


def _host(value: Host) -> pb.Host:
    return pb.Host(
        name=value.name,
        address=value.address,
        state=pb.HostState.Value(f"HOST_STATE_{value.state}"),
        problem=value.problem,
        kernel=value.kernel,
        architecture=value.architecture,
        cpus=value.cpus,
        memory_bytes=value.memory_bytes,
        engine_version=value.engine_version,
        containers=value.containers,
        executions=value.executions,
    )
