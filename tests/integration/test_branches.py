"""Branches: loads across them, undo after that, and the tree that they form."""

from __future__ import annotations

from flowsnap.v1 import types_pb2
from platform_under_test import Platform

STEPS = """
    def handler(system, this):
        done = []
        for step in range(3):
            this.create_dump(f"{'again-' * bool(this.restored)}{step}")
            done.append(step if this.restored is None else -step)
            print("RESULT", done)
        this.sleep(3600)
    """


def named(platform: Platform, execution: str, name: str) -> types_pb2.Savepoint:
    (found,) = [one for one in platform.savepoints(execution) if one.name == name]
    return found


def test_a_savepoint_of_a_branch_that_was_left_is_loaded_and_the_load_undone(platform: Platform) -> None:
    execution = platform.run(STEPS)
    assert platform.wait_results(execution, 3)[-1] == "[0, 1, 2]"
    platform.load(execution, name="1")
    assert platform.wait_results(execution, 5)[3:] == ["[0, -1]", "[0, -1, -2]"]
    there = platform.wait_status(execution, types_pb2.EXECUTION_STATUS_SLEEPING)
    assert there.branch == 2

    # Newer, and on branch 1, which branch 2 has left.
    across = platform.load(execution, name="2")
    assert (across.execution.branch, across.savepoint.branch) == (3, 1)
    assert across.execution.head_savepoint_id == across.savepoint.id
    assert platform.wait_results(execution, 6)[-1] == "[0, 1, -2]"

    undone = platform.undo(execution)
    assert (undone.undone.name, undone.execution.branch) == ("2", 4)
    assert undone.savepoint.branch == 2
    platform.wait_status(execution, types_pb2.EXECUTION_STATUS_SLEEPING)
    assert platform.get(execution).head_savepoint_id == undone.savepoint.id
    assert len(platform.results(execution)) == 6

    # And over again to the other side of the tree.
    platform.load(execution, name="again-2")
    assert platform.wait_results(execution, 7)[-1] == "[0, -1, -2]"

    by_id = {one.id: one for one in platform.savepoints(execution)}
    assert by_id[named(platform, execution, "2").parent_id].name == "1"
    assert by_id[named(platform, execution, "again-2").parent_id].name == "1"
    assert {one.branch for one in by_id.values()} >= {1, 2, 3}
    assert [one.number for one in by_id.values()] == list(range(1, len(by_id) + 1))
    platform.cancel(execution)


def test_the_head_is_the_savepoint_that_the_next_one_follows(platform: Platform) -> None:
    execution = platform.run(STEPS)
    platform.wait_results(execution, 3)
    for name in ("0", "2", "1"):
        wanted = named(platform, execution, name)
        assert platform.load(execution, id=wanted.id).execution.head_savepoint_id == wanted.id
    head = platform.get(execution).head_savepoint_id
    taken = platform.create_savepoint(execution, "next")
    assert taken.branch == 4
    known = {one.id: one for one in platform.savepoints(execution)}
    assert head in known
    way, one = [], taken
    while one.parent_id:
        one = known[one.parent_id]
        way.append(one.name)
    assert way[-2:] == ["1", "0"]
    platform.cancel(execution)
