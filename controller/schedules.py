"""Schedules: flows that start at times. The next run is in the records, so a restart forgets none."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controller.errors import FlowsnapError, InvalidArgument, NotFound, Unavailable
from controller.executions import Executions, NewExecution
from controller.flows import Flows, make_flow
from controller.model import NULL, Execution, Json, Missed, Schedule
from controller.ports import Database
from controller.services import Services
from controller.times import check_times, next_time, times_until
from controller.values import checked_json, checked_name

# A run that starts this much late is on time; later, the policy for missed runs decides.
PUNCTUAL_S = 30.0
# Of a schedule that runs all that were missed, no more than the newest of these.
MOST_MISSED_RUNS = 100
# The host's clock may jump: it is looked at this often.
_LONGEST_SLEEP_S = 10.0
_RETRY_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """What a client asks for: script empty for a pushed flow, timezone empty for UTC."""

    name: str
    flow_name: str
    script: str
    input_value: Json
    cron: str
    timezone: str
    interval_s: int
    missed: Missed
    enabled: bool


class Schedules:
    """Saved by operators, and run by a task of the controller's own."""

    def __init__(self, services: Services, executions: Executions, flows: Flows) -> None:
        self._services = services
        self._executions = executions
        self._flows = flows
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run what is due, from now on until stop, or until the services close."""
        self._running = self._services.background(self._run_for_ever(), "running schedules")

    async def stop(self) -> None:
        """Start nothing any more. What was about to be started is in the records: the next controller starts it."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def save(self, new: NewSchedule) -> Schedule:
        """Create or replace. Raises InvalidArgument, NotFound for a flow that was not pushed."""
        services, now = self._services, self._services.clock.now()
        checked_name(new.name, "the schedule's name")
        checked_json(new.input_value or NULL, "the input value", services.config.max_value_bytes)
        schedule = _drafted(new, now)
        check_times(schedule)
        if new.script:
            make_flow(new.script, new.flow_name or "flow.py", max_bytes=services.config.max_value_bytes)
        elif new.flow_name:
            await self._flows.newest(new.flow_name)
        else:
            raise InvalidArgument(f"schedule {new.name!r}: name the flow that it starts")
        before = await services.db(Database.schedule, new.name)
        if before is not None:
            schedule = replace(
                schedule,
                created_at=before.created_at,
                last_run_at=before.last_run_at,
                last_execution_id=before.last_execution_id,
            )
        schedule = replace(schedule, next_run_at=next_time(schedule, now))
        await services.db(Database.save_schedule, schedule)
        self._changed.set()
        return schedule

    def preview(self, new: NewSchedule, count: int) -> list[datetime]:
        """When it would run next, enabled or not; fewer where there are no more. Raises InvalidArgument."""
        schedule = _drafted(new, self._services.clock.now())
        check_times(schedule)
        times: list[datetime] = []
        time: datetime | None = schedule.created_at
        while len(times) < count and time is not None and (time := next_time(schedule, time)) is not None:
            times.append(time)
        return times

    async def get(self, name: str) -> Schedule:
        """Raises NotFound."""
        found = await self._services.db(Database.schedule, name)
        if found is None:
            raise _missing(name)
        return found

    async def enable(self, name: str, *, enabled: bool) -> Schedule:
        """Its next run is counted from now on. Raises NotFound, and what save raises."""
        present = await self.get(name)
        return await self.save(
            NewSchedule(
                name=present.name,
                flow_name=present.flow_name,
                script=present.script,
                input_value=present.input_value,
                cron=present.cron,
                timezone=present.timezone,
                interval_s=present.interval_s,
                missed=present.missed,
                enabled=enabled,
            )
        )

    async def list(self) -> Sequence[Schedule]:
        """By name."""
        return await self._services.db(Database.schedules)

    async def delete(self, name: str) -> None:
        """What it started goes on. Raises NotFound."""
        if not await self._services.db(Database.delete_schedule, name):
            raise _missing(name)

    async def run_now(self, name: str) -> Execution:
        """Besides its times, enabled or not. Raises NotFound, and what starting an execution raises."""
        return await self._executions.create(_new_execution(await self.get(name), ""))

    async def _run_for_ever(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._follow_clock()
                for schedule in await self._services.db(Database.due_schedules, self._services.clock.now()):
                    await self._run_due(schedule)
                pause_s = await self._until_next_s()
            except FlowsnapError as error:
                _log.warning("schedules can't be run now: %s", error)
                pause_s = _RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()

    async def _follow_clock(self) -> None:
        """When the clock was set back, the next run of an interval would be as much later. A time of day stays."""
        now = self._services.clock.now()
        for schedule in await self.list():
            if not schedule.interval_s or schedule.next_run_at is None or schedule.starting_at is not None:
                continue
            if (schedule.next_run_at - now).total_seconds() > schedule.interval_s:
                _log.info("schedule %r: the clock was set back, its next run comes earlier", schedule.name)
                await self._services.db(Database.claim_run, schedule, None, next_time(schedule, now))

    async def _until_next_s(self) -> float:
        following = await self._services.db(Database.next_run)
        if following is None:
            return _LONGEST_SLEEP_S
        return min(_LONGEST_SLEEP_S, max(0.0, (following - self._services.clock.now()).total_seconds()))

    async def _run_due(self, schedule: Schedule) -> None:
        if schedule.starting_at is not None:
            # The controller died between claim and start, or just after the start.
            await self._start(schedule, schedule.starting_at)
            return
        services, now = self._services, self._services.clock.now()
        due = times_until(schedule, now, MOST_MISSED_RUNS)
        if not due:
            return
        following = next_time(schedule, due[-1])
        chosen = _chosen(schedule.missed, due, now)
        if not chosen:
            _log.info("schedule %r: skipped the run of %s, which was missed", schedule.name, due[-1])
            await services.db(Database.claim_run, schedule, None, following)
            return
        # One at a time: what comes after a run that was missed stays the next one until this one is started.
        first = chosen[0]
        after = chosen[1] if len(chosen) > 1 else following
        if await services.db(Database.claim_run, schedule, first, after):
            await self._start(schedule, first)

    async def _start(self, schedule: Schedule, due_at: datetime) -> None:
        """Under a name that tells the run: one that is being started again is found by it."""
        services = self._services
        name = f"{schedule.name[:170]} {due_at:%Y-%m-%dT%H:%M:%SZ}"
        found = [one for one in await services.db(Database.find_executions, name) if one.name == name]
        now = services.clock.now()
        try:
            execution = found[0] if found else await self._executions.create(_new_execution(schedule, name))
        except Unavailable:
            raise  # it stays the run that is being started
        except FlowsnapError as error:
            _log.warning("schedule %r: the run of %s could not be started: %s", schedule.name, due_at, error)
            await services.db(Database.finish_run, schedule.name, now, error=str(error))
        else:
            await services.db(Database.finish_run, schedule.name, now, execution_id=execution.id)


def _drafted(new: NewSchedule, now: datetime) -> Schedule:
    return Schedule(
        name=new.name,
        flow_name=new.flow_name,
        script=new.script,
        input_value=new.input_value or NULL,
        cron=" ".join(new.cron.split()),
        timezone=new.timezone or "UTC",
        interval_s=new.interval_s,
        missed=new.missed,
        enabled=new.enabled,
        created_at=now,
        next_run_at=None,
    )


def _chosen(missed: Missed, due: Sequence[datetime], now: datetime) -> Sequence[datetime]:
    """Which of the times that are past, oldest first, are run."""
    punctual = [time for time in due if (now - time).total_seconds() <= PUNCTUAL_S]
    match missed:
        case Missed.RUN_ALL:
            return due
        case Missed.RUN_ONCE:
            return punctual or due[-1:]
        case Missed.SKIP:
            return punctual


def _new_execution(schedule: Schedule, name: str) -> NewExecution:
    if schedule.script:
        return NewExecution(
            script=schedule.script, flow_name=schedule.flow_name, input_value=schedule.input_value, name=name
        )
    return NewExecution(pushed=schedule.flow_name, input_value=schedule.input_value, name=name)


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no schedule {name!r}; see `snapctl schedule ls`")
