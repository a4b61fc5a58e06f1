"""Records of what starts flows: schedules and webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import delete, or_, select, true, update

from controller.db.engine import Transactions
from controller.db.schema import schedules, webhooks
from controller.db.upsert import insert_or_replace
from controller.model import Schedule, Webhook

_SELECT_SCHEDULES = select(*(schedules.c[field.name] for field in fields(Schedule))).order_by(schedules.c.name)
_SELECT_WEBHOOKS = select(*(webhooks.c[field.name] for field in fields(Webhook))).order_by(webhooks.c.name)


class TriggerRecords(Transactions):
    """Schedules and webhooks by name. Saving replaces; deleting says with False that there was none."""

    def save_schedule(self, schedule: Schedule) -> None:
        with self._writing() as connection:
            connection.execute(insert_or_replace(connection.dialect.name, schedules), asdict(schedule))

    def schedule(self, name: str) -> Schedule | None:
        with self._reading() as connection:
            row = connection.execute(_SELECT_SCHEDULES.where(schedules.c.name == name)).first()
        return None if row is None else Schedule(*row)

    def schedules(self) -> Sequence[Schedule]:
        """By name."""
        with self._reading() as connection:
            return [Schedule(*row) for row in connection.execute(_SELECT_SCHEDULES)]

    def due_schedules(self, now: datetime) -> Sequence[Schedule]:
        """Enabled ones whose next run is due, and those with a run that was being started when a controller died."""
        due = or_(
            schedules.c.starting_at.is_not(None), (schedules.c.enabled == true()) & (schedules.c.next_run_at <= now)
        )
        with self._reading() as connection:
            return [Schedule(*row) for row in connection.execute(_SELECT_SCHEDULES.where(due))]

    def next_run(self) -> datetime | None:
        """The earliest of all enabled schedules."""
        query = (
            select(schedules.c.next_run_at)
            .where(schedules.c.enabled == true(), schedules.c.next_run_at.is_not(None))
            .order_by(schedules.c.next_run_at)
            .limit(1)
        )
        with self._reading() as connection:
            return connection.execute(query).scalar()

    def claim_run(self, schedule: Schedule, starting_at: datetime | None, next_run_at: datetime | None) -> bool:
        """Move to the next run, remembering which is being started now. False: it was changed or claimed meanwhile."""
        with self._writing() as connection:
            changed = connection.execute(
                update(schedules)
                .where(
                    schedules.c.name == schedule.name,
                    schedules.c.next_run_at == schedule.next_run_at,
                    schedules.c.starting_at.is_(None),
                )
                .values(next_run_at=next_run_at, starting_at=starting_at)
            )
            return changed.rowcount == 1

    def finish_run(self, name: str, at: datetime, *, execution_id: str = "", error: str = "") -> None:
        """The run was started, or could not be."""
        values: dict[str, object] = {"starting_at": None, "last_run_at": at, "last_error": error}
        if execution_id:
            values["last_execution_id"] = execution_id
        with self._writing() as connection:
            connection.execute(update(schedules).where(schedules.c.name == name).values(**values))

    def delete_schedule(self, name: str) -> bool:
        with self._writing() as connection:
            return connection.execute(delete(schedules).where(schedules.c.name == name)).rowcount == 1

    def save_webhook(self, webhook: Webhook) -> None:
        with self._writing() as connection:
            connection.execute(insert_or_replace(connection.dialect.name, webhooks), asdict(webhook))

    def webhook(self, name: str) -> Webhook | None:
        with self._reading() as connection:
            row = connection.execute(_SELECT_WEBHOOKS.where(webhooks.c.name == name)).first()
        return None if row is None else Webhook(*row)

    def webhooks(self) -> Sequence[Webhook]:
        """By name."""
        with self._reading() as connection:
            return [Webhook(*row) for row in connection.execute(_SELECT_WEBHOOKS)]

    def delete_webhook(self, name: str) -> bool:
        with self._writing() as connection:
            return connection.execute(delete(webhooks).where(webhooks.c.name == name)).rowcount == 1
