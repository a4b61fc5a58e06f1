"""ScheduleService: schedules for clients."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from typing import Any

from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc
from grpc import aio

from controller.api import pack
from controller.errors import InvalidArgument
from controller.model import Missed, Schedule
from controller.schedules import NewSchedule, Schedules

Context = aio.ServicerContext[Any, Any]

_PREFIX = "MISSED_RUNS_"


class ScheduleService(platform_pb2_grpc.ScheduleServiceServicer):
    """One method per RPC of flowsnap.v1.ScheduleService."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    async def SaveSchedule(self, request: pb.SaveScheduleRequest, context: Context) -> pb.SaveScheduleResponse:
        given = request.schedule
        new = NewSchedule(
            name=given.name,
            flow_name=given.flow_name,
            script=given.script,
            input_value=given.input_value_json,
            cron=given.cron,
            timezone=given.timezone,
            interval_s=given.interval_s,
            missed=_missed(given.missed),
            enabled=given.enabled,
        )
        return pb.SaveScheduleResponse(schedule=_schedule(await self._schedules.save(new)))

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Context) -> pb.ListSchedulesResponse:
        return pb.ListSchedulesResponse(schedules=map(_schedule, await self._schedules.list()))

    async def DeleteSchedule(self, request: pb.DeleteScheduleRequest, context: Context) -> pb.DeleteScheduleResponse:
        await self._schedules.delete(request.name)
        return pb.DeleteScheduleResponse()

    async def RunSchedule(self, request: pb.RunScheduleRequest, context: Context) -> pb.RunScheduleResponse:
        return pb.RunScheduleResponse(execution=pack.execution(await self._schedules.run_now(request.name)))


def _missed(value: pb.MissedRuns.ValueType) -> Missed:
    if value == pb.MISSED_RUNS_UNSPECIFIED:
        return Missed.RUN_ONCE
    if value not in pb.MissedRuns.values():
        raise InvalidArgument(f"{value} is no policy for missed runs")
    return Missed(pb.MissedRuns.Name(value).removeprefix(_PREFIX))


def _schedule(value: Schedule) -> pb.Schedule:
    return pb.Schedule(
        name=value.name,
        flow_name=value.flow_name,
        script=value.script,
        input_value_json=value.input_value,
        cron=value.cron,
        timezone=value.timezone,
        interval_s=value.interval_s,
        missed=pb.MissedRuns.Value(_PREFIX + value.missed.value),
        enabled=value.enabled,
        created_at=pack.timestamp(value.created_at),
        next_run_at=pack.timestamp(value.next_run_at),
        last_run_at=pack.timestamp(value.last_run_at),
        last_execution_id=value.last_execution_id,
        last_error=value.last_error,
    )
