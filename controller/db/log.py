"""Records of what executions wrote: numbered lines, never cut."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, insert, select, update

from controller.db.engine import Transactions
from controller.db.executions import missing_execution
from controller.db.schema import executions, log_lines
from controller.model import LogLine

_INSERT = insert(log_lines)
_TAKE_NUMBERS = (
    update(executions)
    .where(executions.c.id == bindparam("key"))
    .values(log_count=executions.c.log_count + bindparam("added"))
    .returning(executions.c.log_count)
)
_SELECT = (
    select(log_lines.c.time, log_lines.c.stream, log_lines.c.text, log_lines.c.number)
    .where(log_lines.c.execution_id == bindparam("key"), log_lines.c.number > bindparam("after_number"))
    .order_by(log_lines.c.number)
    .limit(bindparam("max_lines"))
)


class LogRecords(Transactions):
    """Log lines, numbered 1, 2, 3... within their execution."""

    def append_log(self, execution_id: str, lines: Sequence[LogLine]) -> None:
        """Record the lines in the given order. Raises NotFound when the execution is gone."""
        if not lines:
            return
        with self._writing() as connection:
            last = connection.execute(_TAKE_NUMBERS, {"key": execution_id, "added": len(lines)}).scalar()
            if last is None:
                raise missing_execution(execution_id)
            connection.execute(
                _INSERT,
                [
                    {
                        "execution_id": execution_id,
                        "number": number,
                        "time": line.time,
                        "stream": line.stream,
                        "text": line.text,
                    }
                    for number, line in enumerate(lines, last - len(lines) + 1)
                ],
            )

    def read_log(self, execution_id: str, after_number: int, limit: int) -> Sequence[LogLine]:
        """At most limit lines with a greater number, ascending."""
        values = {"key": execution_id, "after_number": after_number, "max_lines": limit}
        with self._reading() as connection:
            return [LogLine(*row) for row in connection.execute(_SELECT, values)]
