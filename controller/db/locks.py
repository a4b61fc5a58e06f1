"""Records of locks, and of the calls that wait for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.engine import Connection

from controller.db.engine import Transactions
from controller.db.schema import executions, locks, waits
from controller.model import CallKey, Lock, LockRequest, Status

_SELECT_LOCKS = select(
    locks.c.name,
    locks.c.execution_id,
    locks.c.call_branch,
    locks.c.call_seq,
    locks.c.acquired_at,
    locks.c.handed_by,
).order_by(locks.c.name)
_SELECT_LOCK = _SELECT_LOCKS.where(locks.c.name == bindparam("key"))
# What a controller that died left behind may be a wait of a branch that was left since, or of an ended execution:
# it would take the lock and never give it back.
_SELECT_WAITERS = (
    select(waits.c.subject, waits.c.ordinal, waits.c.execution_id, waits.c.call_branch, waits.c.call_seq)
    .join(executions, executions.c.id == waits.c.execution_id)
    .where(
        waits.c.call_branch == executions.c.branch,
        executions.c.status.not_in([status for status in Status if status.ended]),
    )
    .order_by(waits.c.ordinal)
)
_SELECT_NEXT = _SELECT_WAITERS.where(waits.c.subject == bindparam("key")).limit(1)


class LockRecords(Transactions):
    """Locks by name; a wait by the lock's name and the execution."""

    def lock(self, name: str) -> Lock | None:
        with self._reading() as connection:
            return _lock(connection, name)

    def locks(self) -> Sequence[tuple[Lock, Sequence[str]]]:
        """By name, each with the executions that wait for it, the next one first."""
        with self._reading() as connection:
            waiting: dict[str, list[str]] = {}
            for row in connection.execute(_SELECT_WAITERS):
                waiting.setdefault(row.subject, []).append(row.execution_id)
            return [(Lock(*row), waiting.get(row.name, [])) for row in connection.execute(_SELECT_LOCKS)]

    def request_lock(self, name: str, key: CallKey) -> LockRequest:
        """Take the lock when it is free or the execution's own; else queue up, keeping the place that it has."""
        now = self._now()
        with self._writing() as connection:
            held = _lock(connection, name)
            if held is not None and held.execution_id != key.execution_id:
                _queue(connection, name, key)
                return LockRequest(False, held.execution_id)
            _leave_queue(connection, name, key)
            if held is None:
                _insert(connection, Lock(name, key.execution_id, key.branch, key.seq, now))
            elif held.call_branch < key.branch:
                connection.execute(
                    update(locks).where(locks.c.name == name).values(call_branch=key.branch, call_seq=key.seq)
                )
            return LockRequest(True, key.execution_id)

    def withdraw_lock(self, name: str, key: CallKey) -> bool:
        """Leave the queue; True: the lock was handed over just before, to this very execution."""
        with self._writing() as connection:
            _leave_queue(connection, name, key)
            held = _lock(connection, name)
            return held is not None and held.execution_id == key.execution_id

    def call_off_lock(self, name: str, key: CallKey) -> str:
        """The call that asked is no more: leave the queue, and pass on what it was given meanwhile.

        Answers who has the lock then, where it was passed on. A newer call's wait, or lock, stays as it is.
        """
        with self._writing() as connection:
            _leave_queue(connection, name, key)
            held = _lock(connection, name)
            if held is None or (held.execution_id, held.call_branch, held.call_seq) != (
                key.execution_id,
                key.branch,
                key.seq,
            ):
                return ""
            return self._pass_on(connection, name, "", "")

    def release_lock(self, name: str, holder: str, *, to: str = "", handed_by: str = "") -> str | None:
        """Take the lock from its holder. It goes to the execution `to`, else to who waits longest.

        Answers who has it now, empty: nobody. None: the holder is another by now, and nothing changed.
        """
        with self._writing() as connection:
            held = _lock(connection, name)
            if held is None or held.execution_id != holder:
                return None
            return self._pass_on(connection, name, to, handed_by)

    def _pass_on(self, connection: Connection, name: str, to: str, handed_by: str) -> str:
        connection.execute(delete(locks).where(locks.c.name == name))
        if to:
            connection.execute(delete(waits).where(waits.c.subject == name, waits.c.execution_id == to))
            _insert(connection, Lock(name, to, 0, 0, self._now(), handed_by))
            return to
        following = connection.execute(_SELECT_NEXT, {"key": name}).first()
        if following is None:
            return ""
        _, ordinal, execution_id, branch, seq = following
        connection.execute(delete(waits).where(waits.c.ordinal == ordinal))
        _insert(connection, Lock(name, execution_id, branch, seq, self._now(), handed_by))
        return str(execution_id)


def _lock(connection: Connection, name: str) -> Lock | None:
    row = connection.execute(_SELECT_LOCK, {"key": name}).first()
    return None if row is None else Lock(*row)


def _insert(connection: Connection, lock: Lock) -> None:
    connection.execute(insert(locks), asdict(lock))


def _queue(connection: Connection, subject: str, key: CallKey) -> None:
    """At its end, or in the place that it has."""
    mine = (waits.c.subject == subject, waits.c.execution_id == key.execution_id)
    place = {"call_branch": key.branch, "call_seq": key.seq}
    if connection.execute(update(waits).where(*mine).values(**place)).rowcount == 0:
        connection.execute(insert(waits), {"subject": subject, "execution_id": key.execution_id, **place})


def _leave_queue(connection: Connection, subject: str, key: CallKey) -> None:
    connection.execute(
        delete(waits).where(
            waits.c.subject == subject,
            waits.c.execution_id == key.execution_id,
            waits.c.call_branch <= key.branch,
        )
    )
