"""Watchers hear of changes and hold nobody up."""

from __future__ import annotations

from controller.changes import Changes


async def test_all_watchers_of_an_execution_hear_of_a_change() -> None:
    changes = Changes()
    with changes.watch("a") as one, changes.watch("a") as two, changes.watch("b") as other:
        changes.notify("a")
        changes.notify("a")
        assert one.is_set()
        assert two.is_set()
        assert not other.is_set()
    changes.notify("a")


async def test_watchers_are_woken_when_the_controller_goes() -> None:
    changes = Changes()
    with changes.watch("a") as watcher:
        changes.close()
        assert watcher.is_set()
        assert changes.closed
