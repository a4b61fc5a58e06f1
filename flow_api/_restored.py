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
        #: "operator", "script", "undo" or "recovery".
        self.why: str = record["why"]

    def __repr__(self) -> str:
        return f"<restored {self.times} times, from savepoint {self.savepoint} {self.name!r}, by {self.why}>"
