"""RetentionService: which savepoints are kept, for clients."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from dataclasses import fields
from typing import Any

from flowsnap.v1 import retention_pb2 as pb
from flowsnap.v1 import retention_pb2_grpc
from grpc import aio

from controller.executions import Executions
from controller.model import KeepRule, KeepScope, Retention
from controller.retention import Retentions

Context = aio.ServicerContext[Any, Any]

_FIELDS = [field.name for field in fields(KeepRule)]


def rule_from_proto(rule: pb.KeepRule) -> KeepRule:
    return KeepRule(**{name: getattr(rule, name) for name in _FIELDS if rule.HasField(name)})  # type: ignore[arg-type]


class RetentionService(retention_pb2_grpc.RetentionServiceServicer):
    """One method per RPC of flowsnap.v1.RetentionService."""

    def __init__(self, executions: Executions, retentions: Retentions) -> None:
        self._executions = executions
        self._retentions = retentions

    async def SetRetention(self, request: pb.SetRetentionRequest, context: Context) -> pb.SetRetentionResponse:
        scope, subject = await self._owner(request.retention.owner)
        retention = Retention(scope, subject, rule_from_proto(request.retention.rule))
        await self._retentions.save(retention)
        return pb.SetRetentionResponse(retention=_retention(retention))

    async def GetRetention(self, request: pb.GetRetentionRequest, context: Context) -> pb.GetRetentionResponse:
        scope, subject = await self._owner(request.owner)
        own, effective = await self._retentions.get(scope, subject)
        return pb.GetRetentionResponse(retention=_retention(Retention(scope, subject, own)), effective=_rule(effective))

    async def ListRetention(self, request: pb.ListRetentionRequest, context: Context) -> pb.ListRetentionResponse:
        return pb.ListRetentionResponse(retentions=map(_retention, await self._retentions.list()))

    async def DeleteRetention(self, request: pb.DeleteRetentionRequest, context: Context) -> pb.DeleteRetentionResponse:
        await self._retentions.delete(*await self._owner(request.owner))
        return pb.DeleteRetentionResponse()

    async def _owner(self, owner: pb.RetentionOwner) -> tuple[KeepScope, str]:
        match owner.WhichOneof("owner"):
            case "flow":
                return KeepScope.FLOW, owner.flow
            case "execution":
                return KeepScope.EXECUTION, (await self._executions.find(owner.execution)).id
            case _:
                return KeepScope.DEFAULT, ""


def _retention(retention: Retention) -> pb.Retention:
    owner = pb.RetentionOwner()
    if retention.scope is KeepScope.FLOW:
        owner.flow = retention.subject
    elif retention.scope is KeepScope.EXECUTION:
        owner.execution = retention.subject
    return pb.Retention(owner=owner, rule=_rule(retention.rule))


def _rule(rule: KeepRule) -> pb.KeepRule:
    return pb.KeepRule(**{name: getattr(rule, name) for name in _FIELDS})
