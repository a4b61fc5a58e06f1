"""Records of settings. A setting that another execution has locked is not written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.engine import Connection

from controller.db.calls import DONE, OPEN
from controller.db.engine import Transactions
from controller.db.filters import condition
from controller.db.schema import calls, locks, settings
from controller.db.upsert import insert_or_replace
from controller.model import NULL, CallKey, Filter, Json, SettingInfo, Written

_SELECT_VALUE = select(settings.c.value, settings.c.created_at).where(settings.c.name == bindparam("key"))
_SELECT_HOLDER = select(locks.c.execution_id).where(locks.c.name == bindparam("key"))
_LOCKED_BY = func.coalesce(locks.c.execution_id, "")
_SELECT_INFO = select(
    settings.c.name, settings.c.size_bytes, settings.c.created_at, settings.c.modified_at, _LOCKED_BY
).join(locks, locks.c.name == settings.c.name, isouter=True)
_FILTERED = {
    **{name: settings.c[name] for name in ("name", "size_bytes", "created_at", "modified_at")},
    "locked_by": _LOCKED_BY,
}


class SettingRecords(Transactions):
    """Settings by name. by: the execution that writes, empty for an operator; its own lock does not hinder it."""

    def setting(self, name: str) -> Json | None:
        with self._reading() as connection:
            return connection.execute(_SELECT_VALUE, {"key": name}).scalar()

    def setting_info(self, name: str) -> SettingInfo | None:
        with self._reading() as connection:
            row = connection.execute(_SELECT_INFO.where(settings.c.name == name)).first()
        return None if row is None else SettingInfo(*row)

    def settings(self, where: Filter | None, limit: int, after: str) -> Sequence[SettingInfo]:
        """By name; after: the name after which to go on. Raises InvalidArgument for a filter that makes no sense."""
        query = _SELECT_INFO.where(settings.c.name > after).order_by(settings.c.name).limit(limit)
        if where is not None:
            query = query.where(condition(_FILTERED, where))
        with self._reading() as connection:
            return [SettingInfo(*row) for row in connection.execute(query)]

    def save_setting(self, name: str, value: Json, by: str = "") -> Written:
        """Create or replace."""
        with self._writing() as connection:
            if holder := _other_holder(connection, name, by):
                return Written(False, holder)
            self._put(connection, name, value)
            return Written(True)

    def change_setting(self, name: str, change: Callable[[Json | None], Json], by: str, completes: CallKey) -> Written:
        """Replace the value by what change makes of it (None: there is none), and complete the call, in one step.

        So a call that is repeated after a crash does not change it twice.
        """
        with self._writing() as connection:
            if holder := _other_holder(connection, name, by):
                return Written(False, holder)
            if _complete(connection, completes):
                row = connection.execute(_SELECT_VALUE, {"key": name}).first()
                self._put(connection, name, change(None if row is None else row.value))
            return Written(True)

    def delete_setting(self, name: str, by: str = "") -> Written:
        with self._writing() as connection:
            if holder := _other_holder(connection, name, by):
                return Written(False, holder)
            return Written(connection.execute(delete(settings).where(settings.c.name == name)).rowcount == 1)

    def _put(self, connection: Connection, name: str, value: Json) -> None:
        now = self._now()
        row = connection.execute(_SELECT_VALUE, {"key": name}).first()
        values = {
            "name": name,
            "value": value,
            "size_bytes": len(value),
            "created_at": now if row is None else row.created_at,
            "modified_at": now,
        }
        connection.execute(insert_or_replace(connection.dialect.name, settings), values)


def _other_holder(connection: Connection, name: str, by: str) -> str:
    holder = connection.execute(_SELECT_HOLDER, {"key": name}).scalar()
    return "" if holder is None or holder == by else str(holder)


def _complete(connection: Connection, key: CallKey) -> bool:
    """False: it was completed or abandoned before."""
    done = (
        update(calls)
        .where(
            calls.c.execution_id == key.execution_id,
            calls.c.branch == key.branch,
            calls.c.seq == key.seq,
            calls.c.state == OPEN,
        )
        .values(state=DONE, value=NULL, error_type="", error_message="", halt=False, ends=False)
    )
    return connection.execute(done).rowcount == 1
