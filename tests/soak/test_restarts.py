"""Many executions at once, and a controller that dies every ten seconds."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

from leftovers import assert_nothing_left, assert_savepoints_are_good
from platform_under_test import SUCCESS, Platform
from shop import open_shop

_EXECUTIONS = int(os.environ.get("FLOWSNAP_SOAK_EXECUTIONS", "50"))
_DURATION_S = float(os.environ.get("FLOWSNAP_SOAK_S", "120"))
_BETWEEN_DEATHS_S = 10.0
_ALL_ENDED_S = 600.0

_FLOW = """
import time

def handler(system, this):
    step = 0
    while time.time() < this.get("input_value"):
        this.connect('shop', method='post', text=f'step {step}')
        step += 1
        this.sleep(1)
        if step % 10 == 0:
            this.create_dump(f'ten {step}')
    this.set_output(steps=step)
"""


def test_all_executions_succeed_and_repeat_nothing_when_the_controller_dies_every_ten_seconds(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data")
    platform.start()
    with open_shop() as shop:
        platform.connect("shop", "REST", url=shop.url)
        until = time.time() + _DURATION_S
        try:
            executions = [platform.run(_FLOW, until) for _ in range(_EXECUTIONS)]
            starts = []
            while time.time() < until:
                time.sleep(_BETWEEN_DEATHS_S)
                platform.kill_controller()
                began = time.monotonic()
                platform.start()
                starts.append(time.monotonic() - began)
            platform.wait_until(lambda: all(found.ended_at.seconds for found in platform.list()), limit_s=_ALL_ENDED_S)
            ended = {execution: platform.get(execution) for execution in executions}
            statuses = Counter((found.status, found.message) for found in ended.values())
            assert statuses == {(SUCCESS, ""): _EXECUTIONS}
            shop.assert_nothing_done_twice()
            for execution in executions:
                ordered = {what for key, what in shop.asked if key.startswith(f"{execution}-")}
                assert ordered == {f"step {step}" for step in range(platform.output(execution)["steps"])}
            assert_nothing_left(platform)
            assert_savepoints_are_good(platform)
            lost = sum(any("recovered" in line for line in platform.log(execution)) for execution in executions)
            repeated = len(shop.asked) - len(shop.orders)
            savepoints = sum(found.savepoint_count for found in ended.values())
            print(
                f"{_EXECUTIONS} executions, {len(starts)} deaths, restart {max(starts):.1f} s at most;"
                f" {len(shop.orders)} calls carried out, {repeated} of them repeated while open;"
                f" {savepoints} savepoints kept; {lost} executions lost their container"
            )
        finally:
            platform.stop()
