"""Records as lists show them: without the values, which may be large, page by page, and savepoints thinned out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, false, func, or_, select, true

from controller.db.engine import Transactions
from controller.db.schema import executions, loads, log_lines, savepoints
from controller.model import (
    BranchOrigin,
    ExecutionQuery,
    ExecutionRow,
    ExecutionType,
    LogLine,
    SavepointRow,
    SavepointRun,
    Status,
    StoreShare,
)

_MESSAGE_CHARACTERS = 300
_ROW_COLUMNS = [
    func.substr(executions.c.message, 1, _MESSAGE_CHARACTERS) if field.name == "message" else executions.c[field.name]
    for field in fields(ExecutionRow)
]
_SAVEPOINT_COLUMNS = [savepoints.c[field.name] for field in fields(SavepointRow)]


class OverviewRecords(Transactions):
    """Executions and savepoints for pages."""

    def execution_rows(self, query: ExecutionQuery, limit: int, offset: int) -> Sequence[ExecutionRow]:
        """Newest first."""
        found = _newest_first(select(*_ROW_COLUMNS), query).limit(limit).offset(offset)
        with self._reading() as connection:
            return [ExecutionRow(*row) for row in connection.execute(found)]

    def execution_ids(self, query: ExecutionQuery, limit: int) -> Sequence[str]:
        """Newest first."""
        found = _newest_first(select(executions.c.id), query).limit(limit)
        with self._reading() as connection:
            return list(connection.execute(found).scalars())

    def execution_counts(self, query: ExecutionQuery) -> Mapping[Status, int]:
        """How many the query finds of each status, whatever statuses it asks for."""
        counted = select(executions.c.status, func.count()).where(*_conditions(query)).group_by(executions.c.status)
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(counted)}

    def store_shares(self, limit: int) -> Sequence[StoreShare]:
        """The largest first."""
        size = func.sum(savepoints.c.stored_bytes)
        query = (
            select(executions.c.id, executions.c.name, func.count(), size)
            .join(savepoints, savepoints.c.execution_id == executions.c.id)
            .group_by(executions.c.id, executions.c.name)
            .order_by(size.desc(), executions.c.id)
            .limit(limit)
        )
        with self._reading() as connection:
            return [StoreShare(id_, name, count, int(total)) for id_, name, count, total in connection.execute(query)]

    def flow_names(self, limit: int) -> Sequence[str]:
        """Of all executions, by name."""
        names = select(executions.c.flow_name).distinct().order_by(executions.c.flow_name).limit(limit)
        with self._reading() as connection:
            return list(connection.execute(names).scalars())

    def savepoint_row(self, savepoint_id: str) -> SavepointRow | None:
        with self._reading() as connection:
            row = connection.execute(select(*_SAVEPOINT_COLUMNS).where(savepoints.c.id == savepoint_id)).first()
        return None if row is None else SavepointRow(*row)

    def savepoint_rows(
        self, execution_id: str, text: str, limit: int, offset: int, *, named: bool = False
    ) -> tuple[Sequence[SavepointRow], int]:
        """Newest first, with how many there are in all; text: part of a name, a call or a file; named: only those."""
        conditions = [savepoints.c.execution_id == execution_id]
        if text:
            parts = [
                column.icontains(text, autoescape=True)
                for column in (savepoints.c.name, savepoints.c.call, savepoints.c.file, savepoints.c.function)
            ]
            if text.isascii() and text.isdigit() and len(text) < 10:  # noqa: PLR2004 - what the column holds
                parts.append(savepoints.c.number == int(text))
            conditions.append(or_(*parts, savepoints.c.id == text))
        if named:
            conditions.append(savepoints.c.name != "")
        page = (
            select(*_SAVEPOINT_COLUMNS)
            .where(*conditions)
            .order_by(savepoints.c.number.desc())
            .limit(limit)
            .offset(offset)
        )
        with self._reading() as connection:
            rows = [SavepointRow(*row) for row in connection.execute(page)]
            total = connection.execute(select(func.count()).select_from(savepoints).where(*conditions)).scalar_one()
        return rows, int(total)

    def savepoint_runs(self, execution_id: str, first: int, last: int, step: int) -> Sequence[SavepointRun]:
        """Savepoints with numbers from first to last, in runs: of one branch, at most step numbers; by number.

        A run's savepoint is its newest named one, else its newest.
        """
        here = and_(savepoints.c.execution_id == execution_id, savepoints.c.number.between(first, last))
        named = func.max(case((savepoints.c.name != "", savepoints.c.number)))
        grouped: Select[Any] = (
            select(func.coalesce(named, func.max(savepoints.c.number)), func.count())
            .where(here)
            .group_by(savepoints.c.branch, (savepoints.c.number - first) // step)
        )
        with self._reading() as connection:
            counts = {row[0]: row[1] for row in connection.execute(grouped)}
            shown = select(*_SAVEPOINT_COLUMNS).where(
                savepoints.c.execution_id == execution_id, savepoints.c.number.in_(list(counts))
            )
            rows = [SavepointRow(*row) for row in connection.execute(shown.order_by(savepoints.c.number))]
        return [SavepointRun(row, counts[row.number]) for row in rows]

    def branch_origins(self, execution_id: str) -> Sequence[BranchOrigin]:
        """Where each branch but the first began, oldest first."""
        query = (
            select(
                loads.c.branch_to,
                savepoints.c.number,
                savepoints.c.name,
                savepoints.c.branch,
                loads.c.by,
                loads.c.created_at,
                loads.c.undone,
                savepoints.c.created_at,
            )
            .join(savepoints, savepoints.c.id == loads.c.savepoint_id)
            .where(loads.c.execution_id == execution_id)
            .order_by(loads.c.ordinal)
        )
        with self._reading() as connection:
            return [BranchOrigin(*row) for row in connection.execute(query)]

    def named_savepoints(self, execution_id: str, limit: int) -> Sequence[SavepointRow]:
        """The newest of each name, newest first."""
        newest = (
            select(func.max(savepoints.c.number))
            .where(savepoints.c.execution_id == execution_id, savepoints.c.name != "")
            .group_by(savepoints.c.name)
        )
        query = (
            select(*_SAVEPOINT_COLUMNS)
            .where(savepoints.c.execution_id == execution_id, savepoints.c.number.in_(newest))
            .order_by(savepoints.c.number.desc())
            .limit(limit)
        )
        with self._reading() as connection:
            return [SavepointRow(*row) for row in connection.execute(query)]

    def log_within(
        self, execution_id: str, spans: Sequence[tuple[datetime, datetime | None]], limit: int
    ) -> tuple[Sequence[LogLine], int]:
        """The first lines that were written after the one time and not after the other, if it is one, of any of the
        spans; with how many there are in all.
        """
        times = [
            and_(log_lines.c.time > since, true() if until is None else log_lines.c.time <= until)
            for since, until in spans
        ]
        within = and_(log_lines.c.execution_id == execution_id, or_(false(), *times))
        first = (
            select(log_lines.c.time, log_lines.c.stream, log_lines.c.text, log_lines.c.number)
            .where(within)
            .order_by(log_lines.c.number)
            .limit(limit)
        )
        with self._reading() as connection:
            lines = [LogLine(*row) for row in connection.execute(first)]
            return lines, int(
                connection.execute(select(func.count()).select_from(log_lines).where(within)).scalar_one()
            )

    def read_log_back(
        self, execution_id: str, before_number: int | None, limit: int, text: str = ""
    ) -> Sequence[LogLine]:
        """The newest lines with a smaller number that have the text, ascending; None: the newest of all."""
        query = (
            select(log_lines.c.time, log_lines.c.stream, log_lines.c.text, log_lines.c.number)
            .where(log_lines.c.execution_id == execution_id)
            .order_by(log_lines.c.number.desc())
            .limit(limit)
        )
        if before_number is not None:
            query = query.where(log_lines.c.number < before_number)
        if text:
            query = query.where(log_lines.c.text.icontains(text, autoescape=True))
        with self._reading() as connection:
            return [LogLine(*row) for row in connection.execute(query)][::-1]


def _newest_first(found: Select[Any], query: ExecutionQuery) -> Select[Any]:
    found = found.where(*_conditions(query))
    if query.statuses:
        found = found.where(executions.c.status.in_(query.statuses))
    return found.order_by(executions.c.created_at.desc(), executions.c.id.desc())


def _conditions(query: ExecutionQuery) -> list[ColumnElement[bool]]:
    """All but the statuses."""
    conditions: list[ColumnElement[bool]] = []
    if query.text:
        columns = (executions.c.name, executions.c.flow_name, executions.c.message)
        matches = [column.icontains(query.text, autoescape=True) for column in columns]
        conditions.append(or_(*matches, executions.c.id.startswith(query.text, autoescape=True)))
    if query.flow_name:
        conditions.append(executions.c.flow_name == query.flow_name)
    if query.tree:
        tree = select(executions.c.id).where(executions.c.id == query.tree).cte("tree", recursive=True)
        below = select(executions.c.id).join(tree, executions.c.parent_id == tree.c.id)
        conditions.append(executions.c.id.in_(select(tree.union(below).c.id)))
    if query.parent:
        conditions.append(executions.c.parent_id == query.parent)
    if query.forks_of:
        conditions.append(executions.c.forked_from_execution_id == query.forks_of)
    if query.roots_only:
        conditions.append(executions.c.parent_id.is_(None))
    if not query.with_tasks:
        conditions.append(executions.c.type != ExecutionType.TASK)
    return conditions
