"""Records of committed savepoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.engine import Connection

from controller.db.engine import Transactions
from controller.db.executions import missing_execution
from controller.db.schema import executions, loads, savepoints
from controller.errors import NotFound
from controller.model import CallKey, Savepoint, SavepointKind

_NAMES = [field.name for field in fields(Savepoint)]
_COLUMNS = [savepoints.c[name] for name in _NAMES]

_INSERT = insert(savepoints)
_SELECT = select(*_COLUMNS).where(savepoints.c.id == bindparam("key"))
_SELECT_OF = (
    select(*_COLUMNS).where(savepoints.c.execution_id == bindparam("execution_id")).order_by(savepoints.c.number)
)
_SELECT_AT_CALL = (
    select(*_COLUMNS)
    .where(
        savepoints.c.execution_id == bindparam("execution_id"),
        savepoints.c.branch == bindparam("branch"),
        savepoints.c.seq == bindparam("seq"),
    )
    .order_by(savepoints.c.number.desc())
    .limit(1)
)
_SELECT_OF_DUMP = select(*_COLUMNS).where(
    savepoints.c.execution_id == bindparam("execution_id"),
    savepoints.c.branch == bindparam("branch"),
    savepoints.c.seq == bindparam("seq"),
    savepoints.c.image_dir == bindparam("image_dir"),
)
_SELECT_IDS = select(savepoints.c.id)
# The lock makes the number unique on PostgreSQL; FOR NO KEY UPDATE lets the calls that refer to the row go on.
_SELECT_EXECUTION = (
    select(
        executions.c.branch,
        executions.c.head_savepoint_id,
        executions.c.savepoint_count,
        executions.c.output_value,
    )
    .where(executions.c.id == bindparam("key"))
    .with_for_update(key_share=True)
)
_SET_HEAD = (
    update(executions)
    .where(executions.c.id == bindparam("key"))
    .values(head_savepoint_id=bindparam("head"), savepoint_count=bindparam("count"))
)
_RENAME = (
    update(savepoints)
    .where(savepoints.c.id == bindparam("key"))
    .values(name=bindparam("new_name"), kind=bindparam("new_kind"))
)
_SELECT_TIP = (
    select(savepoints.c.id)
    .where(savepoints.c.execution_id == bindparam("execution_id"), savepoints.c.branch == bindparam("branch"))
    .order_by(savepoints.c.number.desc())
    .limit(1)
)
_SELECT_ORIGIN = select(loads.c.savepoint_id).where(
    loads.c.execution_id == bindparam("execution_id"), loads.c.branch_to == bindparam("branch")
)


def savepoint_from(row: Sequence[Any]) -> Savepoint:
    return Savepoint(*row)


def branch_tip(connection: Connection, execution_id: str, branch: int) -> str | None:
    """Id of the branch's newest savepoint; of the one that the branch began from when it has none of its own."""
    key = {"execution_id": execution_id, "branch": branch}
    tip = connection.execute(_SELECT_TIP, key).scalar()
    # Empty: it began from a savepoint that was removed, with all that led to it.
    return tip if tip is not None else connection.execute(_SELECT_ORIGIN, key).scalar() or None


class SavepointRecords(Transactions):
    """Savepoints of all executions."""

    def add_savepoint(self, savepoint: Savepoint) -> Savepoint:
        """Commit the row and answer what was recorded; the given number and parent_id don't count.

        It gets the execution's next number, and its present output value where none is given. On the execution's branch
        it follows the head and becomes the head; on a branch that was left meanwhile it follows that branch's newest
        savepoint.
        Raises NotFound when the execution is gone.
        """
        with self._writing() as connection:
            owner = connection.execute(_SELECT_EXECUTION, {"key": savepoint.execution_id}).first()
            if owner is None:
                raise missing_execution(savepoint.execution_id)
            branch, head, count, output_value = owner
            current = branch == savepoint.branch
            recorded = replace(
                savepoint,
                number=count + 1,
                parent_id=head if current else branch_tip(connection, savepoint.execution_id, savepoint.branch),
                output_value=savepoint.output_value or output_value,
            )
            connection.execute(_INSERT, {name: getattr(recorded, name) for name in _NAMES})
            connection.execute(
                _SET_HEAD,
                {"key": recorded.execution_id, "head": recorded.id if current else head, "count": recorded.number},
            )
        return recorded

    def name_savepoint(self, savepoint_id: str, name: str, kind: SavepointKind) -> None:
        """Raises NotFound."""
        with self._writing() as connection:
            values = {"key": savepoint_id, "new_name": name, "new_kind": kind}
            if connection.execute(_RENAME, values).rowcount == 0:
                raise NotFound(f"savepoint {savepoint_id}: there is no such record; see the execution's savepoints")

    def savepoint(self, savepoint_id: str) -> Savepoint | None:
        return self._one(_SELECT, {"key": savepoint_id})

    def savepoint_at_call(self, key: CallKey) -> Savepoint | None:
        """The newest that was taken at the call."""
        return self._one(_SELECT_AT_CALL, {"execution_id": key.execution_id, "branch": key.branch, "seq": key.seq})

    def savepoint_of_dump(self, key: CallKey, image_dir: str) -> Savepoint | None:
        """What was committed from that folder; the key's seq is 0 for a dump at no call."""
        values = {"execution_id": key.execution_id, "branch": key.branch, "seq": key.seq, "image_dir": image_dir}
        return self._one(_SELECT_OF_DUMP, values)

    def savepoints(self, execution_id: str) -> Sequence[Savepoint]:
        """By number, ascending."""
        with self._reading() as connection:
            rows = connection.execute(_SELECT_OF, {"execution_id": execution_id}).all()
        return [savepoint_from(row) for row in rows]

    def savepoint_ids(self) -> Sequence[str]:
        """Of all executions, in no order: what garbage collection keeps."""
        with self._reading() as connection:
            return list(connection.execute(_SELECT_IDS).scalars())

    def _one(self, statement: Any, values: dict[str, Any]) -> Savepoint | None:
        with self._reading() as connection:
            row = connection.execute(statement, values).first()
        return None if row is None else savepoint_from(row)
