"""Records of what executions used: a bounded number of samples each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select

from controller.db.engine import Transactions
from controller.db.schema import executions, usage_samples
from controller.model import UsageSample

# At one in 10 s that is an hour and more; then every second one goes, and so on.
MOST_SAMPLES = 600

_OF = usage_samples.c.execution_id == bindparam("key")
_EXISTS = select(executions.c.id).where(executions.c.id == bindparam("key"))
_INSERT = insert(usage_samples)
_SELECT = (
    select(
        usage_samples.c.time,
        usage_samples.c.cpu_us,
        usage_samples.c.memory_bytes,
        usage_samples.c.pids,
        usage_samples.c.container,
    )
    .where(_OF)
    .order_by(usage_samples.c.number)
)
_LAST = (
    select(
        usage_samples.c.number,
        usage_samples.c.cpu_us,
        usage_samples.c.container,
        usage_samples.c.container_cpu_us,
    )
    .where(_OF)
    .order_by(usage_samples.c.number.desc())
    .limit(1)
)
_COUNT = select(func.count()).where(_OF)
_ALL = select(usage_samples).where(_OF).order_by(usage_samples.c.number)
_DELETE = delete(usage_samples).where(_OF)


class UsageRecords(Transactions):
    """Samples, numbered upwards within their execution."""

    def add_usage(self, execution_id: str, samples: Sequence[UsageSample]) -> None:
        """Record what a container used; its processor time is added to that of those before it.

        Nothing when the execution is gone.
        """
        if not samples:
            return
        key = {"key": execution_id}
        with self._writing() as connection:
            if connection.execute(_EXISTS, key).first() is None:
                return
            last = connection.execute(_LAST, key).first()
            number, cpu_us, container, container_cpu_us = (0, 0, "", 0) if last is None else last
            rows = []
            for sample in samples:
                # Each container counts from nothing.
                counted = container_cpu_us if sample.container == container else 0
                cpu_us += max(sample.cpu_us - counted, 0)
                container, container_cpu_us = sample.container, max(sample.cpu_us, counted)
                number += 1
                rows.append(
                    {
                        "execution_id": execution_id,
                        "number": number,
                        "time": sample.time,
                        "cpu_us": cpu_us,
                        "memory_bytes": sample.memory_bytes,
                        "pids": sample.pids,
                        "container": container,
                        "container_cpu_us": container_cpu_us,
                    }
                )
            connection.execute(_INSERT, rows)
            if connection.execute(_COUNT, key).scalar_one() > MOST_SAMPLES:
                kept = thinned([dict(row) for row in connection.execute(_ALL, key).mappings()])
                connection.execute(_DELETE, key)
                connection.execute(_INSERT, kept)

    def usage(self, execution_id: str) -> Sequence[UsageSample]:
        """Oldest first, with the processor time of all its containers."""
        with self._reading() as connection:
            return [UsageSample(*row) for row in connection.execute(_SELECT, {"key": execution_id})]


def thinned(rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The newest, and of each two before it the later one, with the greater memory and processes of both."""
    *older, newest = rows
    kept = []
    for at in range(len(older) - 1, -1, -2):
        pair = older[max(at - 1, 0) : at + 1]
        kept.append(older[at] | {name: max(row[name] for row in pair) for name in ("memory_bytes", "pids")})
    return [*kept[::-1], newest]
