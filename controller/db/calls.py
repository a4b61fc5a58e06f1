"""The journal: every Flow-API call with its outcome."""

from __future__ import annotations

from sqlalchemy import bindparam, insert, select, update

from controller.db.engine import Transactions
from controller.db.executions import SET_LAST_CALL
from controller.db.schema import calls
from controller.errors import AlreadyExists, NotFound
from controller.model import NULL, Call, CallKey, Outcome

OPEN, DONE, ABANDONED = "OPEN", "DONE", "ABANDONED"

_IS_CALL = (
    calls.c.execution_id == bindparam("call_execution_id"),
    calls.c.branch == bindparam("call_branch"),
    calls.c.seq == bindparam("call_seq"),
)
_INSERT = insert(calls)
_SELECT_OUTCOME = select(
    calls.c.state, calls.c.value, calls.c.error_type, calls.c.error_message, calls.c.halt, calls.c.ends
).where(*_IS_CALL)
_COMPLETE = (
    update(calls)
    .where(*_IS_CALL, calls.c.state == OPEN)
    .values(
        state=DONE,
        value=bindparam("new_value"),
        error_type=bindparam("new_error_type"),
        error_message=bindparam("new_error_message"),
        halt=bindparam("new_halt"),
        ends=bindparam("new_ends"),
    )
)
_ABANDON = (
    update(calls)
    .where(
        calls.c.execution_id == bindparam("call_execution_id"),
        calls.c.branch == bindparam("call_branch"),
        calls.c.state == OPEN,
    )
    .values(state=ABANDONED)
)


class CallRecords(Transactions):
    """Calls by (execution, branch, seq)."""

    def begin_call(self, call: Call) -> tuple[bool, Outcome | None]:
        """Record an open call, and where the execution stands. Raises NotFound when the execution is gone.

        (True, None): new. (False, outcome): repeated; the outcome is None while it is open, and to halt when its
        branch was left.
        """
        values = {
            "execution_id": call.key.execution_id,
            "branch": call.key.branch,
            "seq": call.key.seq,
            "name": call.name,
            "args": call.args,
            "file": call.file,
            "line": call.line,
            "function": call.function,
            "started_at": call.started_at,
            "idempotency_key": call.idempotency_key,
            "redo_of_savepoint_id": call.redo_of_savepoint_id,
            "state": OPEN,
        }
        place = {"key": call.key.execution_id, "new_name": call.name, "new_file": call.file, "new_line": call.line}
        try:
            with self._writing() as connection:
                connection.execute(_INSERT, values)
                connection.execute(SET_LAST_CALL, place)
        except AlreadyExists:
            return False, self._outcome(call.key)
        return True, None

    def complete_call(self, key: CallKey, outcome: Outcome) -> bool:
        """Record the outcome of an open call; False when it was completed or abandoned before."""
        values = {
            **_key(key),
            "new_value": outcome.value,
            "new_error_type": outcome.error_type,
            "new_error_message": outcome.error_message,
            "new_halt": outcome.halt,
            "new_ends": outcome.end,
        }
        with self._writing() as connection:
            return connection.execute(_COMPLETE, values).rowcount == 1

    def abandon_calls(self, execution_id: str, branch: int) -> None:
        """Mark the open calls of a branch that was left."""
        with self._writing() as connection:
            connection.execute(_ABANDON, {"call_execution_id": execution_id, "call_branch": branch})

    def _outcome(self, key: CallKey) -> Outcome | None:
        with self._reading() as connection:
            row = connection.execute(_SELECT_OUTCOME, _key(key)).first()
        if row is None:
            raise NotFound(f"call {key.seq} of execution {key.execution_id}: the execution was deleted meanwhile")
        if row.state == OPEN:
            return None
        if row.state == ABANDONED:
            return Outcome(halt=True)
        return Outcome(
            value=NULL if row.value is None else row.value,
            error_type=row.error_type,
            error_message=row.error_message,
            halt=row.halt,
            end=row.ends,
        )


def _key(key: CallKey) -> dict[str, str | int]:
    return {"call_execution_id": key.execution_id, "call_branch": key.branch, "call_seq": key.seq}
