"""Times of schedules: cron lines across changes of the clocks, intervals, and what was missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.errors import InvalidArgument
from controller.model import NULL, Missed, Schedule
from controller.times import check_times, next_time, times_until

START = datetime(2025, 3, 29, 12, 0, tzinfo=UTC)


def schedule(**changes: Any) -> Schedule:
    fields: dict[str, Any] = {
        "name": "s",
        "flow_name": "f",
        "script": "",
        "input_value": NULL,
        "cron": "",
        "timezone": "UTC",
        "interval_s": 0,
        "missed": Missed.RUN_ALL,
        "enabled": True,
        "created_at": START,
        "next_run_at": START,
    }
    return Schedule(**{**fields, **changes})


def test_no_run_is_left_out_when_the_clocks_go_forward() -> None:
    # On 30 March 2025 there is no 2:30 in Vienna.
    vienna = schedule(cron="30 2 * * *", timezone="Europe/Vienna")
    first = next_time(vienna, START)
    assert first == datetime(2025, 3, 30, 1, 0, tzinfo=UTC)
    assert first is not None
    assert next_time(vienna, first) == datetime(2025, 3, 31, 0, 30, tzinfo=UTC)


def test_no_run_comes_twice_when_the_clocks_go_back() -> None:
    vienna = schedule(cron="30 2 * * *", timezone="Europe/Vienna")
    first = next_time(vienna, datetime(2025, 10, 25, 12, 0, tzinfo=UTC))
    assert first == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert first is not None
    assert next_time(vienna, first) == datetime(2025, 10, 27, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("times", [{"cron": "0 * * * *"}, {"interval_s": 3600}])
def test_the_newest_are_kept_when_many_were_missed(times: dict[str, Any]) -> None:
    hours = [START + timedelta(hours=number) for number in range(6)]
    assert times_until(schedule(**times), hours[5], 10) == hours
    assert times_until(schedule(**times), hours[5] + timedelta(minutes=59), 2) == hours[4:]
    assert times_until(schedule(**times), START - timedelta(seconds=1), 10) == []
    years_later = START + timedelta(days=40000)
    assert len(times_until(schedule(**times), years_later, 3)) == 3


def test_a_line_that_never_comes_true_is_refused_when_it_is_saved() -> None:
    with pytest.raises(InvalidArgument, match=r"never comes true|can't be read"):
        check_times(schedule(cron="0 0 31 2 *"))
