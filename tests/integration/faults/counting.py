"""A flow that counts what it did, and what was done for it: what is carried out twice shows."""

from __future__ import annotations

from platform_under_test import SUCCESS, Platform

# It counts in its memory what it did, and in a setting how often the platform did it.
COUNTING = """
    def handler(system, this):
        steps = []
        for step in range(3):
            system.setting("count-" + this.get("name")).list_append(step)
            steps.append(step)
        this.sleep(this.get("input_value"))
        steps.append("awake")
        system.setting("count-" + this.get("name")).list_append("awake")
        this.set_output("steps", steps)
        this.set_output("count", system.setting("count-" + this.get("name")).get("value"))
"""


def assert_counted(platform: Platform, execution: str) -> None:
    """Each step once, in the flow's memory and in what the platform did for it."""
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS, ended.message
    assert platform.output(execution) == {"steps": [0, 1, 2, "awake"], "count": [0, 1, 2, "awake"]}
    assert (ended.branch, ended.load_count) == (1, 0)
