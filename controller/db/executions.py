"""Records of executions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, func, insert, or_, select, true, update
from sqlalchemy.engine import Connection

from controller.db.engine import Transactions
from controller.db.filters import condition
from controller.db.flows import insert_flow
from controller.db.schema import executions, savepoints
from controller.errors import NotFound
from controller.model import Execution, ExecutionType, Filter, Flow, Json, RetryRule, Savepoint, Status

_COLUMNS = [executions.c[field.name] for field in fields(Execution)]
_MAX_CHAR = "\U0010ffff"

_INSERT = insert(executions)
_INSERT_SAVEPOINT = insert(savepoints)
SELECT_EXECUTION = select(*_COLUMNS).where(executions.c.id == bindparam("key"))
_SELECT_MANY = select(*_COLUMNS).order_by(executions.c.created_at.desc(), executions.c.id.desc())
_SELECT_REFERENCED = _SELECT_MANY.where(
    or_(
        and_(executions.c.id >= bindparam("first"), executions.c.id < bindparam("last")),
        executions.c.name == bindparam("first"),
    )
)
_SELECT_CREATED = select(executions.c.created_at).where(executions.c.id == bindparam("key"))
_SELECT_SEVERAL = _SELECT_MANY.where(executions.c.id.in_(bindparam("keys", expanding=True)))
_SELECT_CHILDREN = (
    select(*_COLUMNS)
    .where(executions.c.parent_id == bindparam("key"))
    .order_by(executions.c.created_at, executions.c.id)
)
_SELECT_CHILD_OF_CALL = select(*_COLUMNS).where(
    executions.c.parent_id == bindparam("key"), executions.c.origin == bindparam("call_origin")
)
_FILTERED = {
    name: executions.c[name]
    for name in (
        *("id", "name", "type", "status", "message", "flow_name", "flow_version", "parent_id"),
        *("created_at", "started_at", "ended_at"),
    )
}
_SET_STATUS = (
    update(executions)
    .where(executions.c.id == bindparam("key"), executions.c.status.in_(bindparam("expected", expanding=True)))
    .values(
        status=bindparam("new_status"),
        message=func.coalesce(bindparam("new_message", type_=executions.c.message.type), executions.c.message),
        started_at=func.coalesce(
            executions.c.started_at, bindparam("new_started_at", type_=executions.c.started_at.type)
        ),
        ended_at=bindparam("new_ended_at"),
        parked=and_(executions.c.parked, bindparam("new_ended_at", type_=executions.c.ended_at.type).is_(None)),
        retry_at=None,
    )
)
_PUT_OFF = (
    update(executions)
    .where(
        executions.c.id == bindparam("key"),
        executions.c.status.not_in([status for status in Status if status.ended]),
    )
    .values(
        status=Status.SLEEPING,
        message=bindparam("new_message"),
        retry_count=executions.c.retry_count + 1,
        retry_at=bindparam("new_retry_at"),
    )
)
_SET_RETRY_RULE = (
    update(executions)
    .where(executions.c.id == bindparam("key"))
    .values(
        retry_limit=bindparam("new_limit"), retry_from=bindparam("new_from"), retry_backoff_s=bindparam("new_backoff_s")
    )
)
_SET_FIELDS = (
    update(executions)
    .where(executions.c.id == bindparam("key"))
    .values(
        message=func.coalesce(bindparam("new_message", type_=executions.c.message.type), executions.c.message),
        output_value=func.coalesce(
            bindparam("new_output_value", type_=executions.c.output_value.type), executions.c.output_value
        ),
        name=func.coalesce(bindparam("new_name", type_=executions.c.name.type), executions.c.name),
        input_value=func.coalesce(
            bindparam("new_input_value", type_=executions.c.input_value.type), executions.c.input_value
        ),
    )
)
_RELEASE_HELD = (
    update(executions)
    .where(executions.c.id == bindparam("key"), executions.c.held == true(), executions.c.status.in_([Status.NEW]))
    .values(held=False)
)
_END_TASK = (
    update(executions)
    .where(executions.c.id == bindparam("key"), executions.c.status == Status.RUNNING)
    .values(
        status=bindparam("new_status"),
        message=bindparam("new_message"),
        output_value=bindparam("new_output_value"),
        error_type=bindparam("new_error_type"),
        ended_at=bindparam("new_ended_at"),
    )
)
SET_LAST_CALL = (
    update(executions)
    .where(executions.c.id == bindparam("key"))
    .values(last_call=bindparam("new_name"), last_file=bindparam("new_file"), last_line=bindparam("new_line"))
)
# Only listings below their parent show them: without it nobody would find them again. What is under way ends first.
_IS_IDLE_TASK = and_(
    executions.c.type == ExecutionType.TASK,
    executions.c.status.in_([Status.NEW, *(status for status in Status if status.ended)]),
)
_DELETE_TASKS = delete(executions).where(executions.c.parent_id == bindparam("key"), _IS_IDLE_TASK)
_DELETE_ORPHAN = delete(executions).where(
    executions.c.id == bindparam("key"), executions.c.parent_id.is_(None), _IS_IDLE_TASK
)
_DELETE_ORPHANS = delete(executions).where(executions.c.parent_id.is_(None), _IS_IDLE_TASK)
_SAME_PLACE = executions.c.strike_savepoint_id.is_not_distinct_from(executions.c.head_savepoint_id)
_STRIKE = (
    update(executions)
    .where(executions.c.id == bindparam("key"))
    .values(
        strikes=case((_SAME_PLACE, executions.c.strikes + 1), else_=1),
        strike_savepoint_id=executions.c.head_savepoint_id,
        own_losses=executions.c.own_losses + bindparam("own"),
    )
)
_BEGIN_RECOVERY = (
    update(executions)
    .where(executions.c.id == bindparam("key"))
    .values(
        head_savepoint_id=bindparam("head", type_=executions.c.head_savepoint_id.type),
        recovery_count=executions.c.recovery_count + bindparam("counted"),
        parked=False,
        # An older savepoint than before is no further one.
        strike_savepoint_id=case(
            (executions.c.strikes > 0, bindparam("head", type_=executions.c.head_savepoint_id.type)),
            else_=executions.c.strike_savepoint_id,
        ),
    )
)
_SET_PARKED = update(executions).where(executions.c.id == bindparam("key")).values(parked=bindparam("new_parked"))
_DELETE = delete(executions).where(executions.c.id == bindparam("key"))
_COUNTS = select(
    func.count(),
    func.coalesce(func.sum(case((executions.c.status.in_([s for s in Status if s.ended]), 0), else_=1)), 0),
    select(func.count()).select_from(savepoints).scalar_subquery(),
).select_from(executions)


def execution_from(row: Sequence[Any]) -> Execution:
    return Execution(*row)


def read_execution(connection: Connection, execution_id: str) -> Execution:
    """Within a transaction. Raises NotFound."""
    row = connection.execute(SELECT_EXECUTION, {"key": execution_id}).first()
    if row is None:
        raise missing_execution(execution_id)
    return execution_from(row)


def missing_execution(execution_id: str) -> NotFound:
    return NotFound(f"execution {execution_id}: there is no such record; it may have been deleted meanwhile")


class ExecutionRecords(Transactions):
    """Executions, and with the first of its version the flow that it runs."""

    def add_execution(self, execution: Execution, flow: Flow, savepoint: Savepoint | None = None) -> None:
        """Record both, and the savepoint that it begins from; a flow version that exists already stays as it is.

        Raises AlreadyExists for a used id.
        """
        values = {field.name: getattr(execution, field.name) for field in fields(Execution)}
        with self._writing() as connection:
            insert_flow(connection, flow)
            connection.execute(_INSERT, values)
            if savepoint is not None:
                connection.execute(
                    _INSERT_SAVEPOINT, {field.name: getattr(savepoint, field.name) for field in fields(Savepoint)}
                )

    def execution(self, execution_id: str) -> Execution | None:
        with self._reading() as connection:
            row = connection.execute(SELECT_EXECUTION, {"key": execution_id}).first()
        return None if row is None else execution_from(row)

    def find_executions(self, reference: str) -> Sequence[Execution]:
        """All whose id equals or starts with the reference, or whose name equals it; newest first."""
        if not reference:
            return []
        with self._reading() as connection:
            rows = connection.execute(_SELECT_REFERENCED, {"first": reference, "last": reference + _MAX_CHAR}).all()
        return [execution_from(row) for row in rows]

    def executions(self, execution_ids: Sequence[str]) -> Sequence[Execution]:
        """Those of them that there are, in no special order."""
        with self._reading() as connection:
            rows = connection.execute(_SELECT_SEVERAL, {"keys": list(execution_ids)}).all()
        return [execution_from(row) for row in rows]

    def children(self, execution_id: str) -> Sequence[Execution]:
        """What it started, oldest first."""
        with self._reading() as connection:
            return [execution_from(row) for row in connection.execute(_SELECT_CHILDREN, {"key": execution_id})]

    def child_of_call(self, execution_id: str, origin: str) -> Execution | None:
        """The child that a call of it made before, by the call's idempotency key."""
        with self._reading() as connection:
            row = connection.execute(_SELECT_CHILD_OF_CALL, {"key": execution_id, "call_origin": origin}).first()
        return None if row is None else execution_from(row)

    def list_executions(
        self,
        statuses: Sequence[Status],
        flow_name: str,
        limit: int,
        before: str,
        *,
        where: Filter | None = None,
        with_tasks: bool = True,
    ) -> Sequence[Execution]:
        """Newest first. No statuses: any; empty flow_name: any; before: the id after which to go on.

        Raises NotFound when the execution that before names was deleted meanwhile, InvalidArgument for a bad filter.
        """
        query = _SELECT_MANY.limit(limit)
        if statuses:
            query = query.where(executions.c.status.in_(statuses))
        if flow_name:
            query = query.where(executions.c.flow_name == flow_name)
        if where is not None:
            query = query.where(condition(_FILTERED, where))
        if not with_tasks:
            query = query.where(executions.c.type != ExecutionType.TASK)
        with self._reading() as connection:
            if before:
                created_at = connection.execute(_SELECT_CREATED, {"key": before}).scalar()
                if created_at is None:
                    raise NotFound(f"execution {before}, where this page begins, is gone: list from the start again")
                query = query.where(
                    or_(
                        executions.c.created_at < created_at,
                        and_(executions.c.created_at == created_at, executions.c.id < before),
                    )
                )
            return [execution_from(row) for row in connection.execute(query).all()]

    def set_status(
        self, execution_id: str, expected: Sequence[Status], status: Status, message: str | None = None
    ) -> bool:
        """Compare and set; sets started_at on the first RUNNING, ended_at on an ended status (cleared otherwise).

        message None leaves it. False: the status was none of the expected ones, and nothing changed.
        """
        now = self._now()
        values = {
            "key": execution_id,
            "expected": list(expected),
            "new_status": status,
            "new_message": message,
            "new_started_at": now if status is Status.RUNNING else None,
            "new_ended_at": now if status.ended else None,
        }
        with self._writing() as connection:
            return connection.execute(_SET_STATUS, values).rowcount == 1

    def set_fields(
        self,
        execution_id: str,
        *,
        message: str | None = None,
        output_value: Json | None = None,
        name: str | None = None,
        input_value: Json | None = None,
    ) -> None:
        """None leaves a field as it is. Raises NotFound."""
        values = {
            "new_message": message,
            "new_output_value": output_value,
            "new_name": name,
            "new_input_value": input_value,
        }
        self._update(_SET_FIELDS, execution_id, values)

    def release_held(self, execution_id: str) -> bool:
        """It is about to be started; False: somebody else was quicker, or it was cancelled."""
        with self._writing() as connection:
            return connection.execute(_RELEASE_HELD, {"key": execution_id}).rowcount == 1

    def end_task(self, execution_id: str, status: Status, message: str, output_value: Json, error_type: str) -> bool:
        """False: it was not running any more. One whose parent was removed meanwhile goes, too."""
        values = {
            "key": execution_id,
            "new_status": status,
            "new_message": message,
            "new_output_value": output_value,
            "new_error_type": error_type,
            "new_ended_at": self._now(),
        }
        with self._writing() as connection:
            ended = connection.execute(_END_TASK, values).rowcount == 1
            connection.execute(_DELETE_ORPHAN, {"key": execution_id})
            return ended

    def delete_orphaned_tasks(self) -> None:
        """Those without a parent that are not running."""
        with self._writing() as connection:
            connection.execute(_DELETE_ORPHANS)

    def set_last_call(self, execution_id: str, name: str, file: str, line: int) -> None:
        """Raises NotFound."""
        self._update(SET_LAST_CALL, execution_id, {"new_name": name, "new_file": file, "new_line": line})

    def set_retry_rule(self, execution_id: str, rule: RetryRule) -> None:
        """Retries that were made count against it. Raises NotFound."""
        values = {"new_limit": rule.retries, "new_from": rule.savepoint, "new_backoff_s": rule.backoff_s}
        self._update(_SET_RETRY_RULE, execution_id, values)

    def put_off(self, execution_id: str, message: str, retry_at: datetime) -> bool:
        """It sleeps until it is tried again, which is counted. False: it had ended."""
        values = {"key": execution_id, "new_message": message, "new_retry_at": retry_at}
        with self._writing() as connection:
            return connection.execute(_PUT_OFF, values).rowcount == 1

    def count_strike(self, execution_id: str, *, own: bool) -> tuple[int, int]:
        """Its process was lost: how often in a row since its newest savepoint, and how often by its own doing.

        Raises NotFound.
        """
        with self._writing() as connection:
            connection.execute(_STRIKE, {"key": execution_id, "own": int(own)})
            execution = read_execution(connection, execution_id)
            return execution.strikes, execution.own_losses

    def begin_recovery(self, execution_id: str, savepoint_id: str | None, *, counted: bool = True) -> Execution:
        """It goes on from there on its branch, None: from its beginning. counted: after a fault. Raises NotFound."""
        with self._writing() as connection:
            connection.execute(_BEGIN_RECOVERY, {"key": execution_id, "head": savepoint_id, "counted": int(counted)})
            return read_execution(connection, execution_id)

    def set_parked(self, execution_id: str, *, parked: bool) -> None:
        """Raises NotFound."""
        self._update(_SET_PARKED, execution_id, {"new_parked": parked})

    def delete_execution(self, execution_id: str) -> None:
        """With its savepoints, calls, loads, log, and tasks that are not running; does nothing when there is none."""
        with self._writing() as connection:
            connection.execute(_DELETE_TASKS, {"key": execution_id})
            connection.execute(_DELETE, {"key": execution_id})

    def counts(self) -> tuple[int, int, int]:
        """Executions, those not ended, savepoints."""
        with self._reading() as connection:
            executions_, running, savepoints_ = connection.execute(_COUNTS).one()
        return int(executions_), int(running), int(savepoints_)

    def _update(self, statement: Any, execution_id: str, values: dict[str, Any]) -> None:
        with self._writing() as connection:
            if connection.execute(statement, {"key": execution_id, **values}).rowcount == 0:
                raise missing_execution(execution_id)
