"""Records of messages and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import and_, bindparam, case, delete, func, insert, or_, select, update

from controller.db.engine import Transactions
from controller.db.filters import condition
from controller.db.schema import messages
from controller.model import Filter, Json, Message

_SELECT = select(*(messages.c[field.name] for field in fields(Message)))
_SELECT_ONE = _SELECT.where(messages.c.id == bindparam("key"))
_SELECT_BY_ORIGIN = _SELECT.where(messages.c.origin == bindparam("key"))
_SELECT_CREATED = select(messages.c.created_at).where(messages.c.id == bindparam("key"))
_FILTERED = {
    **{
        name: messages.c[name] for name in ("id", "execution_id", "subject", "created_at", "answered_at", "answered_by")
    },
    "status": case((messages.c.answered_at.is_(None), "OPEN"), else_="ANSWERED"),
}


class MessageRecords(Transactions):
    """Messages by id."""

    def add_message(self, message: Message) -> Message:
        """Record it, or answer the one that the same call recorded before."""
        with self._writing() as connection:
            row = connection.execute(_SELECT_BY_ORIGIN, {"key": message.origin}).first()
            if row is not None:
                return Message(*row)
            connection.execute(insert(messages), asdict(message))
        return message

    def message(self, message_id: str) -> Message | None:
        with self._reading() as connection:
            row = connection.execute(_SELECT_ONE, {"key": message_id}).first()
        return None if row is None else Message(*row)

    def messages(self, where: Filter | None, limit: int, before: str) -> Sequence[Message]:
        """Newest first; before: the id after which to go on. Raises InvalidArgument for a filter without sense."""
        query = _SELECT.order_by(messages.c.created_at.desc(), messages.c.id.desc()).limit(limit)
        if where is not None:
            query = query.where(condition(_FILTERED, where))
        with self._reading() as connection:
            if before:
                created_at = connection.execute(_SELECT_CREATED, {"key": before}).scalar()
                query = query.where(
                    or_(
                        messages.c.created_at < created_at,
                        and_(messages.c.created_at == created_at, messages.c.id < before),
                    )
                )
            return [Message(*row) for row in connection.execute(query)]

    def open_message_count(self) -> int:
        query = select(func.count()).select_from(messages).where(messages.c.answered_at.is_(None))
        with self._reading() as connection:
            return connection.execute(query).scalar_one()

    def answer_message(self, message_id: str, response: Json, answered_by: str, at: datetime) -> bool:
        """False: it was answered before, or deleted."""
        with self._writing() as connection:
            changed = connection.execute(
                update(messages)
                .where(messages.c.id == message_id, messages.c.answered_at.is_(None))
                .values(response=response, answered_by=answered_by, answered_at=at)
            )
            return changed.rowcount == 1

    def delete_message(self, message_id: str) -> bool:
        """False: there was none."""
        with self._writing() as connection:
            return connection.execute(delete(messages).where(messages.c.id == message_id)).rowcount == 1
