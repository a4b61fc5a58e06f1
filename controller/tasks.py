"""Tasks: connector calls as executions of their own, recorded but without a container."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import faults
from controller import errors
from controller.connections import Connections
from controller.flow_calls.call import FLOW_ERRORS
from controller.model import NULL, Execution, ExecutionType, Json, Status
from controller.ports import Database
from controller.services import Services
from controller.values import packed, parsed

_PAGE = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """What a task reaches: a named connection, or a connector type where connection is empty."""

    connection: str = ""
    connector_type: str = ""

    def definition(self) -> str:
        """What stands in the place of a script for a task."""
        return packed({"connection": self.connection, "connector_type": self.connector_type}).decode()


class Tasks:
    """Runs tasks in this process; those that an earlier controller left are run again under the same key."""

    def __init__(self, services: Services, connections: Connections) -> None:
        self._services = services
        self._connections = connections
        self._running: dict[str, asyncio.Task[None]] = {}

    async def resolved(self, target: Target) -> Target:
        """With its connector type. Raises NotFound for an unknown connection or type, InvalidArgument."""
        request = await self._connections.request(target.connection, target.connector_type, {})
        self._connections.connector(request.connector_type)
        return Target(target.connection, request.connector_type)

    async def start(self, task: Execution) -> None:
        """In the background; the record says how it went."""
        if await self._services.db(Database.set_status, task.id, (Status.NEW,), Status.RUNNING):
            self._begin(task)

    async def cancel(self, task: Execution, reason: str) -> Execution:
        """Stop it where it stands; what it had asked of its other side may have happened. Raises FailedPrecondition."""
        services = self._services
        running = self._running.get(task.id)
        expected = (Status.NEW, Status.RUNNING)
        if not await services.db(Database.set_status, task.id, expected, Status.ENDED_CANCELLED, reason):
            present = await services.execution(task.id)
            raise errors.FailedPrecondition(f"task {task.name!r} has ended with {present.status} already")
        if running is not None:
            running.cancel()
        services.changes.notify(task.id)
        return await services.execution(task.id)

    async def recover(self) -> None:
        """Those that the records have as running, from their beginning; what has no parent any more goes."""
        await self._services.db(Database.delete_orphaned_tasks)
        last = ""
        while True:
            page = await self._services.db(Database.list_executions, (Status.RUNNING,), "", _PAGE, last)
            for execution in page:
                if execution.type is ExecutionType.TASK and execution.id not in self._running:
                    self._begin(execution)
            if len(page) < _PAGE:
                return
            last = page[-1].id

    def _begin(self, task: Execution) -> None:
        work = self._services.background(self._run(task), f"task {task.id}")
        self._running[task.id] = work
        work.add_done_callback(lambda _: self._running.pop(task.id, None))

    async def _run(self, task: Execution) -> None:
        status, message, output, error_type = await self._outcome(task)
        services = self._services
        faults.reach("controller.task.outcome.before")
        await services.db(Database.end_task, task.id, status, message, output, error_type)
        faults.reach("controller.task.outcome.after")
        services.changes.notify(task.id)

    async def _outcome(self, task: Execution) -> tuple[Status, str, Json, str]:
        """Status, message, output value, and the exception for the flow. Never raises but to be cancelled."""
        services = self._services
        try:
            flow = await services.db(Database.flow, task.flow_version)
            target = Target(**parsed((flow.script if flow is not None else "{}").encode()))
            inputs: dict[str, Any] = parsed(task.input_value) or {}
            request = await self._connections.request(target.connection, target.connector_type, inputs)
            output = packed(await self._connections.call(request, task.origin))
            limit = services.config.max_value_bytes
            if len(output) > limit:
                words = f"{task.flow_name}: the result has {len(output)} bytes, the limit is {limit}; ask for less"
                return Status.ENDED_ERROR, words, NULL, "InvalidInputError"
        except errors.FlowsnapError as error:
            return Status.ENDED_ERROR, str(error), NULL, FLOW_ERRORS.get(type(error), "InternalError")
        except Exception as error:  # noqa: BLE001  a bug in a connector must not leave the flow waiting
            error_type = getattr(error, "error_type", None)
            if isinstance(error_type, str):
                return Status.ENDED_ERROR, str(getattr(error, "message", error)), NULL, error_type
            _log.exception("task %s (%s) failed", task.id, task.flow_name)
            words = f"{task.flow_name}: {type(error).__name__}: {error}; the controller's log has the details"
            return Status.ENDED_ERROR, words, NULL, "InternalError"
        return Status.ENDED_SUCCESS, "", output, ""
