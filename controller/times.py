"""When schedules run: cron lines in a time zone, and intervals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from controller.errors import InvalidArgument
from controller.model import Schedule

# A century; nobody means more, and times have an end.
LONGEST_INTERVAL_S = 100 * 366 * 86400


def check_times(schedule: Schedule) -> None:
    """Raises InvalidArgument, with the words of what is wrong, for times that can't be."""
    if bool(schedule.cron) is bool(schedule.interval_s):
        raise InvalidArgument(f"schedule {schedule.name!r}: give either a cron line or an interval")
    if schedule.interval_s and not 1 <= schedule.interval_s <= LONGEST_INTERVAL_S:
        raise InvalidArgument(
            f"schedule {schedule.name!r}: the interval {schedule.interval_s} s has to be between 1 and"
            f" {LONGEST_INTERVAL_S} s"
        )
    _zone(schedule)
    if not schedule.cron:
        return
    try:
        following = next_time(schedule, datetime.now(UTC))
    except CronSimError as error:
        raise InvalidArgument(
            f"schedule {schedule.name!r}: the cron line {schedule.cron!r} can't be read: {error}; write minute, hour,"
            " day of month, month and day of week, such as '30 6 * * MON-FRI'"
        ) from error
    if following is None:
        raise InvalidArgument(f"schedule {schedule.name!r}: the cron line {schedule.cron!r} never comes true")


def next_time(schedule: Schedule, after: datetime) -> datetime | None:
    """The first time later than after, UTC; None: there is none (30 February)."""
    if schedule.interval_s:
        return after + timedelta(seconds=schedule.interval_s)
    try:
        # Across a change of the clocks it does what cron does: no time is left out, and none comes twice.
        return next(CronSim(schedule.cron, after.astimezone(_zone(schedule)))).astimezone(UTC)
    except StopIteration:
        return None


def times_until(schedule: Schedule, now: datetime, at_most: int) -> list[datetime]:
    """Of the times from next_run_at on that are past, the newest at_most, oldest first."""
    time = schedule.next_run_at
    if time is None or time > now:
        return []
    if schedule.interval_s:
        count = int((now - time).total_seconds() // schedule.interval_s) + 1
        first = max(0, count - at_most)
        return [time + timedelta(seconds=schedule.interval_s * number) for number in range(first, count)]
    passed: list[datetime] = []
    # Backwards, so that years without a controller cost nothing.
    for earlier in CronSim(schedule.cron, (now + timedelta(seconds=1)).astimezone(_zone(schedule)), reverse=True):
        found = earlier.astimezone(UTC)
        if found < time or len(passed) == at_most:
            break
        passed.append(found)
    return passed[::-1]


def _zone(schedule: Schedule) -> ZoneInfo:
    try:
        return ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidArgument(
            f"schedule {schedule.name!r}: there is no time zone {schedule.timezone!r}; write one such as Europe/Vienna"
        ) from error
