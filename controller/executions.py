"""Executions: created, found, listed, deleted."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import faults
from controller.containers import Containers
from controller.endings import Endings
from controller.errors import FailedPrecondition, InvalidArgument, NotFound
from controller.flows import Flows, make_flow
from controller.ids import new_id
from controller.model import (
    MAX_BACKOFF_S,
    MAX_RETRIES,
    NULL,
    Execution,
    ExecutionType,
    Filter,
    Flow,
    FlowFile,
    Json,
    KeepRule,
    KeepScope,
    Retention,
    RetryRule,
    Savepoint,
    Status,
)
from controller.ports import Database
from controller.savepoints import Savepoints
from controller.services import Services
from controller.tokens import token_hash
from controller.usage import Usage
from controller.values import MAX_NAME_CHARACTERS, checked_flow_name, checked_json, checked_name

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000
# Docker refuses less.
_SMALLEST_MEMORY_BYTES = 6 * 1024 * 1024
_AMBIGUOUS_LISTED = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewExecution:
    """What to run. Empty texts and zeros stand for the defaults; the input value is JSON, empty for null.

    Either a script, with the name it is shown under, or the name or the version of a pushed flow.
    """

    script: str = ""
    flow_name: str = ""
    input_value: Json = b""
    name: str = ""
    container_image: str = ""
    memory_limit_bytes: int = 0
    pids_limit: int = 0
    files: tuple[FlowFile, ...] = ()
    script_file: str = ""  # the script's file name, where it is not the flow's name
    pushed: str = ""
    pushed_version: str = ""
    type: ExecutionType = ExecutionType.FLOW
    keep: KeepRule | None = None  # its own rule of which savepoints are kept
    retry: RetryRule | None = None  # what becomes of it when it fails; None: it ends


@dataclass(frozen=True, slots=True)
class Birth:
    """Where a child comes from. origin: its call's idempotency key; held: it waits until somebody starts it."""

    parent: Execution
    origin: str
    held: bool = False


class Executions:
    """All executions, running or not."""

    def __init__(
        self, services: Services, savepoints: Savepoints, containers: Containers, endings: Endings, flows: Flows
    ) -> None:
        self._services = services
        self._savepoints = savepoints
        self._containers = containers
        self._endings = endings
        self._flows = flows

    async def create(self, new: NewExecution) -> Execution:
        """Record it and start its container in the background.

        Raises InvalidArgument for what can't be run, NotFound for an unknown flow or container image, Unavailable.
        """
        execution = await self.record(new)
        self.begin(execution)
        return execution

    def begin(self, execution: Execution) -> None:
        """Start the container of one that is recorded, in the background."""
        self._containers.begin(self._services.live.add(execution), execution)

    async def record(self, new: NewExecution, birth: Birth | None = None) -> Execution:
        """As create, without the start. A child inherits its parent's container image and limits."""
        services, config = self._services, self._services.config
        flow_name, flow = await self._flow(new)
        input_value = checked_json(new.input_value, "the input value", config.max_value_bytes)
        if new.pids_limit < 0 or new.memory_limit_bytes < 0 or 0 < new.memory_limit_bytes < _SMALLEST_MEMORY_BYTES:
            raise InvalidArgument(
                f"memory limit {new.memory_limit_bytes} bytes, pids limit {new.pids_limit}: give at least"
                f" {_SMALLEST_MEMORY_BYTES} bytes and 1 process, or 0 for the default"
            )
        retry = check_retry_rule(new.retry or RetryRule(0))
        if new.name:
            checked_name(new.name, "the execution's name")
        parent = None if birth is None else birth.parent
        image, image_name = await self._container_image(new, parent)
        execution_id = new_id()
        execution = Execution(
            id=execution_id,
            name=new.name or default_name(flow_name, execution_id),
            status=Status.NEW,
            message="",
            flow_name=flow_name,
            flow_version=flow.version,
            input_value=input_value,
            output_value=NULL,
            container_image=image,
            container_image_name=image_name,
            memory_limit_bytes=new.memory_limit_bytes
            or (config.memory_limit_bytes if parent is None else parent.memory_limit_bytes),
            pids_limit=new.pids_limit or (config.pids_limit if parent is None else parent.pids_limit),
            token_hash=token_hash(services.tokens.token(execution_id)),
            created_at=services.clock.now(),
            type=new.type,
            parent_id=None if parent is None else parent.id,
            depth=0 if parent is None else parent.depth + 1,
            origin="" if birth is None else birth.origin,
            held=birth is not None and birth.held,
            retry_limit=retry.retries,
            retry_from=retry.savepoint,
            retry_backoff_s=retry.backoff_s,
        )
        faults.reach("controller.create.row.before")
        await services.db(Database.add_execution, execution, flow)
        faults.reach("controller.create.row.after")
        if new.keep is not None:
            await services.db(Database.set_retention, Retention(KeepScope.EXECUTION, execution_id, new.keep))
        services.changes.notify(execution_id)
        _log.info("execution %s: created, %s", execution_id, flow_name)
        return execution

    async def find(self, reference: str) -> Execution:
        """By id, name (the newest of that name) or unique id prefix. Raises NotFound, InvalidArgument."""
        if not reference:
            raise InvalidArgument("no execution was named; give its id, the beginning of its id, or its name")
        found = await self._services.db(Database.find_executions, reference)
        for matches in (
            [execution for execution in found if execution.id == reference],
            [execution for execution in found if execution.name == reference],
        ):
            if matches:
                return matches[0]
        if len(found) > 1:
            ids = ", ".join(execution.id for execution in found[:_AMBIGUOUS_LISTED])
            raise InvalidArgument(
                f"{len(found)} executions have ids that begin with {reference!r} ({ids}...); say more"
            )
        if not found:
            raise NotFound(f"there is no execution with the id or the name {reference!r}; see `snapctl ls`")
        return found[0]

    async def flow(self, execution: Execution) -> Flow | None:
        """What it runs, exactly."""
        return await self._services.db(Database.flow, execution.flow_version)

    async def children(self, execution_id: str) -> Sequence[Execution]:
        """Oldest first."""
        return await self._services.db(Database.children, execution_id)

    async def usage(self, execution_id: str) -> Usage:
        """What it used so far."""
        return Usage(await self._services.read(Database.usage, execution_id))

    async def list(
        self,
        statuses: Sequence[Status],
        flow_name: str,
        page_size: int,
        page_token: str,
        *,
        where: Filter | None = None,
        with_tasks: bool = True,
    ) -> tuple[Sequence[Execution], str]:
        """Newest first, with the token of the next page, empty on the last. Raises InvalidArgument."""
        if page_size < 0:
            raise InvalidArgument(f"page size {page_size}: give at least 1, or 0 for {DEFAULT_PAGE}")
        size = min(page_size or DEFAULT_PAGE, LARGEST_PAGE)
        found = await self._services.db(
            Database.list_executions,
            statuses,
            flow_name,
            size + 1,
            page_token,
            where=where,
            with_tasks=with_tasks,
        )
        return found[:size], found[size - 1].id if len(found) > size else ""

    async def delete(self, execution_id: str, *, force: bool) -> None:
        """Remove it with its savepoints and its log. Raises FailedPrecondition when it runs and force is not given."""
        await asyncio.shield(self._services.background(self._delete(execution_id, force), f"delete of {execution_id}"))

    async def _delete(self, execution_id: str, force: bool) -> None:
        services = self._services
        async with services.live.lock(execution_id):
            execution = await services.execution(execution_id)
            live = services.live.get(execution_id)
            if not execution.status.ended and not force:
                raise FailedPrecondition(
                    f"execution {execution.name!r} is {execution.status}; cancel it first, or delete it with force"
                )
            if live is not None:
                await self._endings.end_locked(live, Status.ENDED_CANCELLED, "deleted")
                # With the container every source of further savepoints is gone.
                await live.cleaned_up()
            savepoints = await self._savepoints.list(execution_id)
            # Rows first: an image without a row is garbage, a row without an image would be a promise not kept.
            await services.db(Database.delete_execution, execution_id)
            await services.in_store(_delete_images, services, savepoints)
        services.changes.notify(execution_id)
        _log.info("execution %s: deleted", execution_id)

    async def _flow(self, new: NewExecution) -> tuple[str, Flow]:
        """The name it goes by, and what runs."""
        if new.pushed or new.pushed_version:
            flows, version = self._flows, new.pushed_version
            release = await (flows.by_id(version) if version else flows.newest(new.pushed))
            return release.name, await self._flows.version(release.version)
        name = checked_flow_name(new.flow_name or "flow.py")
        if new.type is ExecutionType.TASK:
            return name, Flow(name, hashlib.sha256(new.script.encode()).hexdigest(), new.script)
        file_name, limit = new.script_file or name, self._services.config.max_value_bytes
        return name, make_flow(new.script, file_name, new.files, max_bytes=limit)

    async def _container_image(self, new: NewExecution, parent: Execution | None) -> tuple[str, str]:
        """Its content id, and what it is called."""
        if new.type is ExecutionType.TASK:
            return "", ""
        if parent is not None and not new.container_image:
            return parent.container_image, parent.container_image_name
        wanted = new.container_image or self._services.config.container_image
        return await self._services.launcher.resolve_image(wanted), wanted


def check_retry_rule(rule: RetryRule) -> RetryRule:
    """Answers it. Raises InvalidArgument."""
    if not 0 <= rule.retries <= MAX_RETRIES:
        raise InvalidArgument(f"{rule.retries} retries: give a number from 0 to {MAX_RETRIES}")
    if not 0 <= rule.backoff_s <= MAX_BACKOFF_S:
        raise InvalidArgument(f"backoff {rule.backoff_s:g} s: give a time of at most {MAX_BACKOFF_S:g} s")
    checked_name(rule.savepoint, "the savepoint's name")
    return rule


def _delete_images(services: Services, savepoints: Sequence[Savepoint]) -> None:
    for savepoint in savepoints:
        services.store.delete(savepoint.id)


def default_name(flow_name: str, execution_id: str) -> str:
    tail = execution_id[-4:]
    return f"{PurePath(flow_name).stem[: MAX_NAME_CHARACTERS - 1 - len(tail)]}-{tail}"
