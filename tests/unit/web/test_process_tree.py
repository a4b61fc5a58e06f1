"""Processes of a savepoint, each below its parent."""

from __future__ import annotations

from controller.inspection.report import Process
from controller.web.pages.inside import in_tree


def process(pid: int, parent_pid: int) -> Process:
    return Process(pid, parent_pid, "", (), "", (), (), (), None)


def tree(*processes: Process) -> list[tuple[int, int]]:
    return [(depth, one.pid) for depth, one in in_tree(processes)]


def test_children_stand_below_their_parent_whatever_the_order() -> None:
    found = tree(process(9, 2), process(2, 1), process(5, 2), process(7, 5), process(8, 1))
    assert found == [(0, 2), (1, 9), (1, 5), (2, 7), (0, 8)]


def test_a_deep_tree_is_no_trouble() -> None:
    assert tree(*(process(pid, pid - 1) for pid in range(1, 3000)))[-1] == (2998, 2999)


def test_no_process_is_its_own_parent() -> None:
    assert tree(process(1, 1)) == [(0, 1)]
