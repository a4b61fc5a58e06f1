"""Rules of what is kept, and the removal of savepoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, case, delete, func, or_, select, update
from sqlalchemy.engine import Connection

from controller.db.engine import Transactions
from controller.db.schema import executions, loads, retention, savepoints
from controller.db.upsert import insert_or_replace
from controller.model import KeepRule, KeepScope, Retention, SavepointTrace

_TRACE_COLUMNS = [savepoints.c[field.name] for field in fields(SavepointTrace)]
_SELECT_TRACES = (
    select(*_TRACE_COLUMNS).where(savepoints.c.execution_id == bindparam("key")).order_by(savepoints.c.number)
)
_SELECT_COUNTS = (
    select(executions.c.id, executions.c.flow_name, func.count())
    .join(savepoints, savepoints.c.execution_id == executions.c.id)
    .group_by(executions.c.id, executions.c.flow_name)
)
_CAN_BE_UNDONE: ColumnElement[bool] = and_(loads.c.undone.is_(False), loads.c.by.in_(["operator", "script"]))
_SELECT_UNDOABLE = select(loads.c.before_savepoint_id, loads.c.branch_from).where(
    loads.c.execution_id == bindparam("key"), _CAN_BE_UNDONE
)
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_SELECT_PARENTS = select(savepoints.c.id, savepoints.c.parent_id).where(
    savepoints.c.execution_id == bindparam("key"), savepoints.c.id.in_(_IDS)
)
_SELECT_CHILDREN = select(savepoints.c.id, savepoints.c.parent_id).where(savepoints.c.parent_id.in_(_IDS))
_SELECT_HEAD = select(executions.c.head_savepoint_id).where(executions.c.id == bindparam("key"))
_SELECT_BEFORE = select(loads.c.before_savepoint_id).where(
    loads.c.execution_id == bindparam("key"), loads.c.before_savepoint_id.in_(_IDS), _CAN_BE_UNDONE
)
_SELECT_LOADED = (
    select(loads.c.savepoint_id).where(loads.c.execution_id == bindparam("key"), loads.c.savepoint_id.in_(_IDS))
).distinct()
_SET_PARENT = update(savepoints).where(savepoints.c.id == bindparam("child")).values(parent_id=bindparam("new_parent"))
_SET_LOADED = (
    update(loads)
    .where(loads.c.execution_id == bindparam("key"), loads.c.savepoint_id == bindparam("old"))
    .values(savepoint_id=bindparam("new"))
)
_DELETE = delete(savepoints).where(savepoints.c.execution_id == bindparam("key"), savepoints.c.id.in_(_IDS))

_RULE_COLUMNS = [retention.c[field.name] for field in fields(KeepRule)]
_SELECT_RULES = select(retention.c.scope, retention.c.subject, *_RULE_COLUMNS).order_by(
    case((retention.c.scope == KeepScope.DEFAULT, 0), (retention.c.scope == KeepScope.FLOW, 1), else_=2),
    retention.c.subject,
)
_SELECT_RULES_OF = _SELECT_RULES.where(
    or_(
        retention.c.scope == KeepScope.DEFAULT,
        and_(retention.c.scope == KeepScope.FLOW, retention.c.subject == bindparam("flow")),
        and_(retention.c.scope == KeepScope.EXECUTION, retention.c.subject == bindparam("execution")),
    )
)


class RetentionRecords(Transactions):
    """What is kept of the savepoints of all executions."""

    def savepoint_traces(self, execution_id: str) -> Sequence[SavepointTrace]:
        """By number, ascending."""
        with self._reading() as connection:
            return [SavepointTrace(*row) for row in connection.execute(_SELECT_TRACES, {"key": execution_id})]

    def savepoint_counts(self) -> Sequence[tuple[str, str, int]]:
        """Execution, its flow's name, and how many savepoints it has, where it has any."""
        with self._reading() as connection:
            return [(row[0], row[1], int(row[2])) for row in connection.execute(_SELECT_COUNTS)]

    def needed_by_undo(self, execution_id: str) -> Sequence[tuple[str | None, int]]:
        """Of each load that can be undone: the savepoint of before, None for one that had ended, and the branch."""
        with self._reading() as connection:
            return [(row[0], row[1]) for row in connection.execute(_SELECT_UNDOABLE, {"key": execution_id})]

    def remove_savepoints(self, execution_id: str, savepoint_ids: Sequence[str]) -> Sequence[str]:
        """Their children get the nearest ancestor that stays as parent. Answers which were removed.

        What is the execution's head, or what an undo goes back to, stays.
        """
        of_them = {"key": execution_id, "ids": list(savepoint_ids)}
        with self._writing() as connection:
            in_use = {connection.execute(_SELECT_HEAD, {"key": execution_id}).scalar()}
            in_use.update(connection.execute(_SELECT_BEFORE, of_them).scalars())
            parents = {row[0]: row[1] for row in connection.execute(_SELECT_PARENTS, of_them) if row[0] not in in_use}
            removed = [savepoint_id for savepoint_id in savepoint_ids if savepoint_id in parents]
            if removed:
                _reattach(connection, execution_id, parents)
                connection.execute(_DELETE, {"key": execution_id, "ids": removed})
            return removed

    def set_retention(self, retention_: Retention) -> None:
        """Create or replace. Raises NotFound when its execution is gone."""
        values = {
            "scope": retention_.scope,
            "subject": retention_.subject,
            "execution_id": retention_.subject if retention_.scope is KeepScope.EXECUTION else None,
            **{field.name: getattr(retention_.rule, field.name) for field in fields(KeepRule)},
        }
        with self._writing() as connection:
            connection.execute(insert_or_replace(connection.dialect.name, retention), values)

    def retentions(self) -> Sequence[Retention]:
        """By scope, the widest first, and subject."""
        with self._reading() as connection:
            return [_retention(row) for row in connection.execute(_SELECT_RULES)]

    def retention_rules(self, flow_name: str, execution_id: str) -> Sequence[Retention]:
        """Those that say something on the execution, the widest first."""
        with self._reading() as connection:
            found = connection.execute(_SELECT_RULES_OF, {"flow": flow_name, "execution": execution_id})
            return [_retention(row) for row in found]

    def delete_retention(self, scope: KeepScope, subject: str) -> bool:
        """False: there was none."""
        removing = delete(retention).where(retention.c.scope == scope, retention.c.subject == subject)
        with self._writing() as connection:
            return connection.execute(removing).rowcount == 1


def _reattach(connection: Connection, execution_id: str, parents: dict[str, str | None]) -> None:
    """Whatever points to a savepoint that goes points to its nearest ancestor that stays. parents: of those that go."""

    def staying(savepoint_id: str | None) -> str | None:
        while savepoint_id is not None and savepoint_id in parents:
            savepoint_id = parents[savepoint_id]
        return savepoint_id

    ids = list(parents)
    children = connection.execute(_SELECT_CHILDREN, {"ids": ids}).all()
    moved: list[dict[str, Any]] = [
        {"child": child, "new_parent": staying(parent)} for child, parent in children if child not in parents
    ]
    if moved:
        connection.execute(_SET_PARENT, moved)
    for old in connection.execute(_SELECT_LOADED, {"key": execution_id, "ids": ids}).scalars().all():
        connection.execute(_SET_LOADED, {"key": execution_id, "old": old, "new": staying(old) or ""})


def _retention(row: Sequence[Any]) -> Retention:
    return Retention(row[0], row[1], KeepRule(*row[2:]))
