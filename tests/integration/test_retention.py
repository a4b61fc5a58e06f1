"""Retention on a real controller: real savepoints are thinned out, what stays can be loaded, room is given back."""

from __future__ import annotations

from pathlib import Path

from command_line import snapctl
from platform_under_test import Platform

FLOW = """
    def handler(system, this):
        this.create_dump("first")
        for number in range(30):
            this.set_output("number", number)
        this.create_dump("last")
        this.success(f"went back {this.restored.times}" if this.restored else "done")
"""


def test_old_savepoints_go_and_those_that_stay_can_be_loaded(own_platform: Platform, tmp_path: Path) -> None:
    script = tmp_path / "thin.py"
    script.write_text("\n".join(line.removeprefix("    ") for line in FLOW.splitlines()))
    started = snapctl(own_platform, "run", str(script), "--keep", "newest=4", "--keep", "one-in=10")
    assert started.exit_code == 0, started.err
    execution = started.out.strip()
    own_platform.wait_ended(execution)

    def numbers() -> list[int]:
        return [savepoint.number for savepoint in own_platform.savepoints(execution)]

    # 1: "first"; 32: "last"; the newest four implicit ones; of the others multiples of ten.
    own_platform.wait_until(lambda: numbers() == [1, 10, 20, 29, 30, 31, 32, 33], execution)
    names = [savepoint.name for savepoint in own_platform.savepoints(execution) if savepoint.name]
    assert names == ["first", "last"]
    told = snapctl(own_platform, "gc", "--dry-run", "-o", "json").json
    freed = snapctl(own_platform, "gc", "-o", "json").json
    assert (told["removed_savepoints"], freed["removed_savepoints"]) == (0, 0)
    for savepoint in own_platform.savepoints(execution):
        own_platform.load(execution, id=savepoint.id, dry_run=True)
    own_platform.load(execution, name="first")
    own_platform.wait_until(lambda: own_platform.get(execution).message == "went back 1", execution)
    kept = str(numbers()[0])
    assert snapctl(own_platform, "savepoint", "rm", execution, kept).out.split() == [kept]
