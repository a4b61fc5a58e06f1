"""/schedules: flows that start at times."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from controller.errors import AlreadyExists, FlowsnapError, InvalidArgument
from controller.model import Missed, Schedule
from controller.schedules import NewSchedule
from controller.web.forms import field
from controller.web.parts import Parts, PlatformParts
from controller.web.rendering import page, part, went
from controller.web.words import pretty

_PREVIEWED = 5
_FLOWS_LISTED = 1000
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


class SchedulesPage:
    """The list, and one of them."""

    def __init__(self, parts: Parts, platform: PlatformParts) -> None:
        self._flows = parts.flows
        self._schedules = platform.schedules

    def routes(self) -> list[Route]:
        return [
            Route("/schedules", self._list),
            Route("/schedules/new", self._new),
            Route("/schedules/one", self._show),
            Route("/schedules/save", self._save, methods=["POST"]),
            Route("/schedules/preview", self._preview, methods=["POST"]),
            Route("/schedules/run", self._run, methods=["POST"]),
            Route("/schedules/enable", self._enable, methods=["POST"]),
            Route("/schedules/delete", self._delete, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        return page(request, "schedules.html", schedules=await self._schedules.list(), every=_every)

    async def _new(self, request: Request) -> Response:
        """?flow=NAME: chosen already."""
        return await self._form(request, None, request.query_params.get("flow", ""))

    async def _show(self, request: Request) -> Response:
        """?name=NAME"""
        schedule = await self._schedules.get(request.query_params.get("name", ""))
        return await self._form(request, schedule, schedule.flow_name)

    async def _form(self, request: Request, schedule: Schedule | None, flow: str) -> Response:
        releases = await self._flows.list(None, _FLOWS_LISTED, "")
        every, unit = _parts_of(schedule.interval_s if schedule else 0)
        return page(
            request,
            "schedule.html",
            schedule=schedule,
            flow=flow,
            flows=[release.name for release in releases],
            input=pretty(schedule.input_value)[0] if schedule else "null",
            every=every,
            unit=unit,
            zones=sorted(available_timezones()),
        )

    async def _save(self, request: Request) -> Response:
        """Form: new where there must not be one yet, and what _given reads."""
        given = _given(request)
        if field(request, "new") and any(one.name == given.name for one in await self._schedules.list()):
            raise AlreadyExists(f"there is a schedule {given.name!r} already; change that one, or choose another name")
        await self._schedules.save(given)
        return went(request, "/schedules")

    async def _preview(self, request: Request) -> Response:
        """The same form; what is wrong is told in place of the times."""
        words, times, zone = "", [], "UTC"
        try:
            given = _given(request)
            if given.cron or given.interval_s:
                times, zone = self._schedules.preview(given, _PREVIEWED), given.timezone or "UTC"
            else:
                words = "Give a cron line or an interval."
        except FlowsnapError as error:
            words = str(error)
        return page(request, "schedule_preview.html", words=words, times=[(time, _local(time, zone)) for time in times])

    async def _run(self, request: Request) -> Response:
        """?name=NAME"""
        execution = await self._schedules.run_now(request.query_params.get("name", ""))
        return went(request, f"/executions/{execution.id}")

    async def _enable(self, request: Request) -> Response:
        """?name=NAME&to=on or off"""
        name, enabled = request.query_params.get("name", ""), request.query_params.get("to") == "on"
        await self._schedules.enable(name, enabled=enabled)
        words = f"“{name}” is {'enabled' if enabled else 'disabled'}"
        return HTMLResponse(part(request, "toast.html", words=words, refusals=()), headers={"HX-Trigger": "changed"})

    async def _delete(self, request: Request) -> Response:
        """?name=NAME"""
        await self._schedules.delete(request.query_params.get("name", ""))
        return went(request, "/schedules")


def _given(request: Request) -> NewSchedule:
    """Raises InvalidArgument."""
    by_cron = field(request, "when") != "interval"
    every = field(request, "every").strip()
    if not by_cron and not (every.isascii() and every.isdigit() and len(every) <= 10):  # noqa: PLR2004 - a century has ten digits
        raise InvalidArgument(f"the interval {every!r} is no whole number above 0")
    missed = field(request, "missed")
    if missed not in Missed.__members__:
        raise InvalidArgument(f"{missed!r} is no policy for missed runs")
    return NewSchedule(
        name=field(request, "name").strip(),
        flow_name=field(request, "flow").strip(),
        script=field(request, "script"),
        input_value=field(request, "input").strip().encode(),
        cron=field(request, "cron") if by_cron else "",
        timezone=field(request, "timezone").strip(),
        interval_s=0 if by_cron else int(every) * _UNITS.get(field(request, "unit"), 1),
        missed=Missed(missed),
        enabled=bool(field(request, "enabled")),
    )


def _parts_of(interval_s: int) -> tuple[int, str]:
    """5400 as 90 min."""
    unit = next((unit for unit, size in reversed(_UNITS.items()) if interval_s and interval_s % size == 0), "min")
    return interval_s // _UNITS[unit], unit


def _every(interval_s: int) -> str:
    return "{} {}".format(*_parts_of(interval_s))


def _local(time: datetime, zone: str) -> str:
    return time.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M:%S %Z")
