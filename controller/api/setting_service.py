"""SettingService and LockService: settings and their locks, for clients."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from typing import Any

from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc
from grpc import aio

from controller.api.pack import timestamp
from controller.locks import Locks
from controller.model import Lock, SettingInfo
from controller.settings import Settings

Context = aio.ServicerContext[Any, Any]


class SettingService(platform_pb2_grpc.SettingServiceServicer):
    """One method per RPC of flowsnap.v1.SettingService."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def SaveSetting(self, request: pb.SaveSettingRequest, context: Context) -> pb.SaveSettingResponse:
        await self._settings.save(request.name, request.value_json)
        return pb.SaveSettingResponse()

    async def GetSetting(self, request: pb.GetSettingRequest, context: Context) -> pb.GetSettingResponse:
        info, value = await self._settings.get(request.name)
        return pb.GetSettingResponse(setting=_setting(info), value_json=value)

    async def ListSettings(self, request: pb.ListSettingsRequest, context: Context) -> pb.ListSettingsResponse:
        found, following = await self._settings.list(None, request.page_token)
        return pb.ListSettingsResponse(settings=map(_setting, found), next_page_token=following)

    async def DeleteSetting(self, request: pb.DeleteSettingRequest, context: Context) -> pb.DeleteSettingResponse:
        await self._settings.delete(request.name)
        return pb.DeleteSettingResponse()


class LockService(platform_pb2_grpc.LockServiceServicer):
    """One method per RPC of flowsnap.v1.LockService."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks

    async def ListLocks(self, request: pb.ListLocksRequest, context: Context) -> pb.ListLocksResponse:
        found = await self._locks.list()
        return pb.ListLocksResponse(locks=[_lock(lock, list(waiting)) for lock, waiting in found])

    async def ReleaseLock(self, request: pb.ReleaseLockRequest, context: Context) -> pb.ReleaseLockResponse:
        return pb.ReleaseLockResponse(execution_id=await self._locks.take_away(request.name))


def _setting(info: SettingInfo) -> pb.Setting:
    return pb.Setting(
        name=info.name,
        size_bytes=info.size_bytes,
        created_at=timestamp(info.created_at),
        modified_at=timestamp(info.modified_at),
        locked_by=info.locked_by,
    )


def _lock(lock: Lock, waiting: list[str]) -> pb.Lock:
    return pb.Lock(
        name=lock.name, execution_id=lock.execution_id, acquired_at=timestamp(lock.acquired_at), waiting=waiting
    )
