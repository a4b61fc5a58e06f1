"""Children: executions that an execution starts, and waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from controller.errors import FailedPrecondition, InvalidArgument, NotFound
from controller.executions import Birth, Executions, NewExecution
from controller.model import Execution, ExecutionType, Status
from controller.ports import Database
from controller.services import Services
from controller.tasks import Target, Tasks

ReturnWhen = Literal["ALL_SUCCEEDED", "ALL_ENDED", "FIRST_ENDED"]

_ANCESTORS_NAMED = 5


class Children:
    """Makes, starts and awaits the children of executions. They outlive what becomes of their parent's branch."""

    def __init__(self, services: Services, executions: Executions, tasks: Tasks) -> None:
        self._services = services
        self._executions = executions
        self._tasks = tasks

    async def make(self, parent_id: str, new: NewExecution, origin: str, *, held: bool) -> Execution:
        """Record a child, and start it unless it is held. Goes on when the caller goes away.

        A repeated call, which has the same origin, finds the child that it made before. Raises what
        Executions.record raises, and ResourceExhausted past the limit of nesting.
        """
        return await asyncio.shield(
            self._services.background(self._make(parent_id, new, origin, held), f"child of {parent_id}")
        )

    async def make_task(
        self, parent_id: str, target: Target, new: NewExecution, origin: str, *, held: bool
    ) -> Execution:
        """As make, for a connector's call. Raises NotFound for an unknown connection or connector type."""
        target = await self._tasks.resolved(target)
        task = replace(new, script=target.definition(), flow_name=target.connector_type, type=ExecutionType.TASK)
        return await self.make(parent_id, task, origin, held=held)

    async def start(self, execution_id: str) -> Execution:
        """Start one that is held; one that was started already stays as it is. Raises FailedPrecondition, NotFound."""
        execution = await self._services.execution(execution_id)
        if await self._services.db(Database.release_held, execution_id):
            await self._begin(replace(execution, held=False))
        elif execution.held:
            raise FailedPrecondition(f"execution {execution.name!r} was cancelled before it started; make another")
        return execution

    async def wait(
        self, execution_ids: Collection[str], return_when: ReturnWhen, limit: asyncio.Timeout
    ) -> Sequence[Execution]:
        """All of them as they stand when the wait is over, in the order given. Raises TimeoutError, NotFound.

        ALL_SUCCEEDED is over at the first that ended otherwise. One that is held, and so would never end, is refused
        with FailedPrecondition.
        """
        with self._services.changes.watch(*execution_ids) as changed:
            async with limit:
                while True:
                    changed.clear()
                    found = await self._found(execution_ids)
                    if _is_over(found, return_when):
                        return found
                    await changed.wait()

    async def _found(self, execution_ids: Collection[str]) -> Sequence[Execution]:
        records = await self._services.db(Database.executions, list(execution_ids))
        by_id = {execution.id: execution for execution in records}
        for execution_id in execution_ids:
            if execution_id not in by_id:
                raise NotFound(f"execution {execution_id}: there is no such record; it may have been deleted meanwhile")
        for execution in records:
            if execution.held and not execution.status.ended:
                raise FailedPrecondition(
                    f"execution {execution.name!r} was made with run=False and has not been started; call its run()"
                )
        return [by_id[execution_id] for execution_id in execution_ids]

    async def _make(self, parent_id: str, new: NewExecution, origin: str, held: bool) -> Execution:
        services = self._services
        known = await services.db(Database.child_of_call, parent_id, origin)
        if known is not None:
            # Its controller may have gone between the record and the start.
            if known.type is ExecutionType.TASK and not known.held:
                await self._begin(known)
            return known
        parent = await services.execution(parent_id)
        await self._check_depth(parent, new)
        child = await self._executions.record(new, Birth(parent, origin, held))
        services.changes.notify(parent_id)
        if not held:
            await self._begin(child)
        return child

    async def _begin(self, child: Execution) -> None:
        if child.type is ExecutionType.TASK:
            await self._tasks.start(child)
        else:
            self._executions.begin(child)

    async def _check_depth(self, parent: Execution, new: NewExecution) -> None:
        limit = self._services.config.depth_limit
        if parent.depth < limit:
            return
        chain, above = [parent.name], parent
        while above.parent_id is not None and len(chain) < _ANCESTORS_NAMED:
            above = await self._services.execution(above.parent_id)
            chain.append(above.name)
        raise InvalidArgument(
            f"{new.pushed or new.flow_name}: child executions would be nested {parent.depth + 1} deep, the limit is"
            f" {limit}; it would stand below {' < '.join(chain)} < ...; does a flow start itself?"
        )


def first_failed(executions: Sequence[Execution]) -> Execution | None:
    """The first of them that ended otherwise than with success."""
    for execution in executions:
        if execution.status.ended and execution.status is not Status.ENDED_SUCCESS:
            return execution
    return None


def _is_over(executions: Sequence[Execution], return_when: ReturnWhen) -> bool:
    ended = [execution.status.ended for execution in executions]
    if return_when == "FIRST_ENDED":
        return any(ended) or not ended
    if return_when == "ALL_SUCCEEDED" and first_failed(executions) is not None:
        return True
    return all(ended)
