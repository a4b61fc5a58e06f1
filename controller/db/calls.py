"""The journal: every Flow-API call with its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.engine import Connection

from controller.db.engine import Transactions
from controller.db.executions import SET_LAST_CALL
from controller.db.schema import calls
from controller.errors import AlreadyExists, NotFound
from controller.model import NULL, Begun, Call, CallKey, Outcome

OPEN, DONE, ABANDONED = "OPEN", "DONE", "ABANDONED"

_IS_CALL = (
    calls.c.execution_id == bindparam("call_execution_id"),
    calls.c.branch == bindparam("call_branch"),
    calls.c.seq == bindparam("call_seq"),
)
_INSERT = insert(calls)
_SELECT = select(calls)
_SELECT_CALL = _SELECT.where(*_IS_CALL)
_IN_BRANCH = (
    calls.c.execution_id == bindparam("call_execution_id"),
    calls.c.branch == bindparam("call_branch"),
)
# -1 was lost first.
_SELECT_LOST = _SELECT.where(
    *_IN_BRANCH,
    calls.c.seq < 0,
    calls.c.name == bindparam("call_name"),
    calls.c.args == bindparam("call_args"),
    calls.c.file == bindparam("call_file"),
    calls.c.line == bindparam("call_line"),
).order_by(calls.c.seq.desc())
_SELECT_OPEN = _SELECT.where(*_IN_BRANCH, calls.c.seq > 0, calls.c.state == OPEN).order_by(calls.c.seq)
_SELECT_AFTER = select(calls.c.seq).where(*_IN_BRANCH, calls.c.seq > bindparam("last_seq")).order_by(calls.c.seq)
_SELECT_LOST_LAST = select(func.min(calls.c.seq)).where(*_IN_BRANCH)
_RENUMBER = update(calls).where(*_IS_CALL).values(seq=bindparam("new_seq"))
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
_ABANDON = update(calls).where(*_IN_BRANCH, calls.c.state == OPEN).values(state=ABANDONED)


class CallRecords(Transactions):
    """Calls by (execution, branch, seq)."""

    def begin_call(self, call: Call, *, recovered: bool = False) -> Begun:
        """Record an open call, and where the execution stands; a repeated one is answered as it was recorded.

        The outcome of a call whose branch was left is to halt. recovered: calls that a recovery took back are there
        perhaps, and the first of them that equals this one becomes it. Raises NotFound when the execution is gone.
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
                if recovered and (found := _regained(connection, call)) is not None:
                    return found
                connection.execute(_INSERT, values)
                connection.execute(SET_LAST_CALL, place)
        except AlreadyExists:
            return self._begun(call.key)
        return Begun(call, True)

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
            connection.execute(_ABANDON, _branch_key(execution_id, branch))

    def open_calls(self, execution_id: str, branch: int) -> Sequence[Call]:
        """Of a branch, in the flow's order."""
        with self._reading() as connection:
            rows = connection.execute(_SELECT_OPEN, _branch_key(execution_id, branch)).all()
        return [_call(row) for row in rows]

    def lose_calls(self, execution_id: str, branch: int, last_seq: int) -> None:
        """Take those after last_seq out of the flow's count; it is about to make them again, or others."""
        key = _branch_key(execution_id, branch)
        with self._writing() as connection:
            lost = connection.execute(_SELECT_AFTER, {**key, "last_seq": max(last_seq, 0)}).scalars().all()
            if not lost:
                return
            last = min(0, connection.execute(_SELECT_LOST_LAST, key).scalar_one())
            for number, seq in enumerate(lost, 1):
                connection.execute(_RENUMBER, {**key, "call_seq": seq, "new_seq": last - number})

    def _begun(self, key: CallKey) -> Begun:
        with self._reading() as connection:
            row = connection.execute(_SELECT_CALL, _key(key)).first()
        if row is None:
            raise NotFound(f"call {key.seq} of execution {key.execution_id}: the execution was deleted meanwhile")
        return Begun(_call(row), False, _outcome(row))


def _regained(connection: Connection, call: Call) -> Begun | None:
    """The lost call that this one repeats, in its place now; None: there is none, or this one is recorded already."""
    key = _key(call.key)
    content = {"call_name": call.name, "call_args": call.args, "call_file": call.file, "call_line": call.line}
    lost = connection.execute(_SELECT_LOST, {**_branch_key(call.key.execution_id, call.key.branch), **content}).first()
    if lost is None or connection.execute(_SELECT_CALL, key).first() is not None:
        return None
    connection.execute(_RENUMBER, {**key, "call_seq": lost.seq, "new_seq": call.key.seq})
    return Begun(replace(_call(lost), key=call.key), False, _outcome(lost))


def _call(row: Any) -> Call:
    return Call(
        CallKey(row.execution_id, row.branch, row.seq),
        row.name,
        row.args,
        row.file,
        row.line,
        row.function,
        row.started_at,
        row.idempotency_key,
        row.redo_of_savepoint_id,
    )


def _outcome(row: Any) -> Outcome | None:
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


def _branch_key(execution_id: str, branch: int) -> dict[str, str | int]:
    return {"call_execution_id": execution_id, "call_branch": branch}


def _key(key: CallKey) -> dict[str, str | int]:
    return {**_branch_key(key.execution_id, key.branch), "call_seq": key.seq}
