"""How an execution came to where it is."""

from __future__ import annotations

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any


class Restored:
    """What `this.restored` is then. Not part of the restored state: it tells a first pass from a later one."""

    __slots__ = ("name", "savepoint", "savepoint_id", "times", "why")

    def __init__(self, record: dict[str, Any]) -> None:
        #: How often this execution was restored.
        self.times: int = record["times"]
        #: Number, id and name of the savepoint it came from the last time.
        self.savepoint: int = record["savepoint"]
        self.savepoint_id: str = record["savepoint_id"]
        self.name: str = record["name"]
        #: "operator", "script", "undo", "retry" or "fork".
        self.why: str = record["why"]

    def __repr__(self) -> str:
        return f"<restored {self.times} times, from savepoint {self.savepoint} {self.name!r}, by {self.why}>"


class ForkedFrom:
    """What `this.forked_from` is in a fork, now and after each of its loads and recoveries."""

    __slots__ = ("execution_id", "index", "name", "savepoint", "savepoint_id")

    def __init__(self, record: dict[str, Any]) -> None:
        #: Id of the execution it was made from, which may be gone.
        self.execution_id: str = record["execution_id"]
        #: Number, id and name of that execution's savepoint.
        self.savepoint: int = record["savepoint"]
        self.savepoint_id: str = record["savepoint_id"]
        self.name: str = record["name"]
        #: 0, 1, 2... among the forks that were made together.
        self.index: int = record["index"]

    def __repr__(self) -> str:
        return f"<fork {self.index} of {self.execution_id}, from savepoint {self.savepoint} {self.name!r}>"
