"""Records of loads: the branches of an execution, and what takes a load back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Boolean, bindparam, case, insert, select, update
from sqlalchemy.engine import Connection

from controller.db.engine import Transactions
from controller.db.executions import read_execution
from controller.db.savepoints import branch_tip
from controller.db.schema import executions, loads, savepoints
from controller.errors import FailedPrecondition, NotFound
from controller.model import Execution, Json, Load, Savepoint, Status

_NAMES = [field.name for field in fields(Load)]
_COLUMNS = [loads.c[name] for name in _NAMES]

_INSERT = insert(loads)
_SELECT = select(*_COLUMNS).where(loads.c.id == bindparam("key"))
_SELECT_OF = select(*_COLUMNS).where(loads.c.execution_id == bindparam("key")).order_by(loads.c.ordinal)
_MARK_UNDONE = update(loads).where(loads.c.id == bindparam("key")).values(undone=True)
_BEGIN_BRANCH = (
    update(executions)
    .where(executions.c.id == bindparam("key"), executions.c.branch == bindparam("branch_from"))
    .values(
        branch=bindparam("branch_to"),
        head_savepoint_id=bindparam("head"),
        status=bindparam("new_status"),
        message="",
        output_value=bindparam("new_output_value"),
        ended_at=None,
        strikes=0,
        # Neither a script's own load nor a retry is a reason to trust it more.
        own_losses=case((bindparam("by_operator", type_=Boolean), 0), else_=executions.c.own_losses),
        parked=False,
        retry_at=None,
        load_count=executions.c.load_count + 1,
        script_load_count=executions.c.script_load_count + bindparam("by_script"),
    )
)
_COUNT_SCRIPT_LOAD = (
    update(savepoints).where(savepoints.c.id == bindparam("key")).values(script_loads=savepoints.c.script_loads + 1)
)
_END_AGAIN = (
    update(executions)
    .where(executions.c.id == bindparam("key"))
    .values(
        head_savepoint_id=bindparam("head"),
        status=bindparam("new_status"),
        message=bindparam("new_message"),
        output_value=bindparam("new_output_value"),
        ended_at=bindparam("new_ended_at"),
        # It may wait without a container, or to be tried again, when it ends so.
        parked=False,
        retry_at=None,
    )
)


class LoadRecords(Transactions):
    """Loads of all executions."""

    def begin_branch(
        self, load: Load, savepoint: Savepoint, status: Status, output_value: Json, undoes: str = ""
    ) -> Execution:
        """Record a load that succeeded: new branch, head, counters, status, message cleared. One transaction.

        undoes: the id of the load that it takes back, which is marked. Raises FailedPrecondition, with nothing changed,
        when the execution left load.branch_from meanwhile.
        """
        by_script = load.by == "script"
        with self._writing() as connection:
            changed = connection.execute(
                _BEGIN_BRANCH,
                {
                    "key": load.execution_id,
                    "branch_from": load.branch_from,
                    "branch_to": load.branch_to,
                    "head": savepoint.id,
                    "new_status": status,
                    "new_output_value": output_value,
                    "by_script": int(by_script),
                    "by_operator": load.by in {"operator", "undo"},
                },
            ).rowcount
            if not changed:
                present = read_execution(connection, load.execution_id)
                raise FailedPrecondition(
                    f"execution {load.execution_id}: another load brought it from branch {load.branch_from} to"
                    f" {present.branch} meanwhile; look at its savepoints and load again"
                )
            connection.execute(_INSERT, _values(load))
            if undoes:
                connection.execute(_MARK_UNDONE, {"key": undoes})
            if by_script:
                connection.execute(_COUNT_SCRIPT_LOAD, {"key": savepoint.id})
            return read_execution(connection, load.execution_id)

    def undo_to_ended(self, load: Load, mark: str) -> Execution:
        """Put the ended status, message, output and end time of before the load back; mark: the undone load's id.

        The branch number stays: numbers that were used are never given again. The head is the newest savepoint of
        the branch that the undone load left. Raises NotFound.
        """
        with self._writing() as connection:
            undone = _read(connection, mark)
            connection.execute(
                _END_AGAIN,
                {
                    "key": load.execution_id,
                    "head": branch_tip(connection, load.execution_id, undone.branch_from),
                    "new_status": load.before_status,
                    "new_message": load.before_message,
                    "new_output_value": load.before_output_value,
                    "new_ended_at": load.before_ended_at,
                },
            )
            connection.execute(_MARK_UNDONE, {"key": mark})
            return read_execution(connection, load.execution_id)

    def loads(self, execution_id: str) -> Sequence[Load]:
        """Oldest first."""
        with self._reading() as connection:
            return [Load(*row) for row in connection.execute(_SELECT_OF, {"key": execution_id})]


def _read(connection: Connection, load_id: str) -> Load:
    row = connection.execute(_SELECT, {"key": load_id}).first()
    if row is None:
        raise _missing(load_id)
    return Load(*row)


def _missing(load_id: str) -> NotFound:
    return NotFound(f"load {load_id}: there is no such record; the execution may have been deleted meanwhile")


def _values(load: Load) -> dict[str, Any]:
    return {name: getattr(load, name) for name in _NAMES}
