"""Forks: new executions from a savepoint of another one, which goes on untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.errors import DataLoss, FlowsnapError, Internal, InvalidArgument, ResourceExhausted
from controller.executions import default_name
from controller.ids import new_id, new_savepoint_id
from controller.model import Execution, Flow, Json, KeepScope, Savepoint, Status
from controller.ports import Database
from controller.recovery import Recovery
from controller.savepoints import Savepoints, Selector
from controller.services import Services
from controller.tokens import token_hash
from controller.values import checked_json, checked_name, packed, parsed
from store.errors import ImageDamaged, ImageMissing, StoreError, StoreFull

MAX_FORKS = 100


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """savepoint None: the one that the original stands on. input_value: an object laid over the original's input."""

    savepoint: Selector | None = None
    count: int = 1
    input_value: Json = b""
    name: str = ""


class Forks:
    """Makes executions that begin where a savepoint stands, each with a savepoint 1 of its own onto the same image."""

    def __init__(self, services: Services, savepoints: Savepoints, recovery: Recovery) -> None:
        self._services = services
        self._savepoints = savepoints
        self._recovery = recovery

    async def fork(self, execution_id: str, request: ForkRequest) -> tuple[Savepoint, Sequence[Execution]]:
        """All of them, recorded; they are restored in the background. Goes on when the caller goes away.

        One whose restore fails is tried again as after a loss, and ends with ENDED_ERROR and the words at last. Raises
        NotFound, InvalidArgument, DataLoss, ResourceExhausted; none is made then.
        """
        return await asyncio.shield(
            self._services.background(self._fork(execution_id, request), f"fork of {execution_id}")
        )

    async def _fork(self, execution_id: str, request: ForkRequest) -> tuple[Savepoint, Sequence[Execution]]:
        services = self._services
        original = await services.execution(execution_id)
        if not 1 <= request.count <= MAX_FORKS:
            raise InvalidArgument(f"{request.count} forks: give a number from 1 to {MAX_FORKS}")
        if request.name:
            checked_name(f"{request.name}-{request.count}", "the fork's name")
        input_value = self._input(original, request.input_value)
        source = await self._source(original, request.savepoint)
        flow = await services.db(Database.flow, original.flow_version)
        if flow is None:
            raise DataLoss(f"execution {original.name!r}: its flow, version {original.flow_version}, is gone")
        made = [
            self._records(replace(original, input_value=input_value), source, request, index)
            for index in range(request.count)
        ]
        async with self._savepoints.in_use(source):
            await self._add(source, flow, made)
        await self._keep_alike(original, [execution for execution, _ in made])
        for execution, _ in made:
            if services.live.get(execution.id) is None:
                self._recovery.wake(services.live.add(execution))
        services.changes.notify(execution_id)
        return source, [execution for execution, _ in made]

    async def _source(self, original: Execution, selector: Selector | None) -> Savepoint:
        if selector is None:
            return await self._savepoints.head(original)
        return await self._savepoints.resolve(original, selector)

    def _input(self, original: Execution, given: Json) -> Json:
        if not given:
            return original.input_value
        limit = self._services.config.max_value_bytes
        over: Any = parsed(checked_json(given, "the input", limit))
        under: Any = parsed(original.input_value)
        if not isinstance(over, dict) or not isinstance(under or {}, dict):
            raise InvalidArgument(
                f"execution {original.name!r}: keys can be laid over its input only where both are JSON objects"
            )
        return checked_json(packed({**(under or {}), **over}), "the input", limit)

    def _records(
        self, original: Execution, source: Savepoint, request: ForkRequest, index: int
    ) -> tuple[Execution, Savepoint]:
        services, execution_id = self._services, new_id()
        now = services.clock.now()
        name = request.name
        if name and request.count > 1:
            name = f"{name}-{index + 1}"
        first = replace(
            source,
            id=new_savepoint_id(),
            execution_id=execution_id,
            number=1,
            branch=1,
            parent_id=None,
            created_at=now,
            script_loads=0,
        )
        execution = Execution(
            id=execution_id,
            name=name or default_name(original.flow_name, execution_id),
            status=Status.NEW,
            message="",
            flow_name=original.flow_name,
            flow_version=original.flow_version,
            input_value=original.input_value,
            output_value=source.output_value,
            container_image=original.container_image,
            container_image_name=original.container_image_name,
            memory_limit_bytes=original.memory_limit_bytes,
            pids_limit=original.pids_limit,
            token_hash=token_hash(services.tokens.token(execution_id)),
            created_at=now,
            head_savepoint_id=first.id,
            savepoint_count=1,
            last_call=source.call,
            last_file=source.file,
            last_line=source.line,
            type=original.type,
            retry_limit=original.retry_limit,
            retry_from=original.retry_from,
            retry_backoff_s=original.retry_backoff_s,
            forked_from_execution_id=original.id,
            forked_from_savepoint_id=source.id,
            forked_from_number=source.number,
            forked_from_name=source.name,
            fork_index=index,
        )
        return execution, first

    async def _add(self, source: Savepoint, flow: Flow, made: Sequence[tuple[Execution, Savepoint]]) -> None:
        """All images, then the rows: an image without a row is garbage, a row without an image would be a lie."""
        services = self._services
        linked: list[Savepoint] = []
        recorded = 0
        try:
            for execution, first in made:
                try:
                    stored = await services.in_store(services.store.link, source.id, first.id, lineage=execution.id)
                except StoreError as error:
                    raise _image_error(source, error) from error
                linked.append(replace(first, stored_bytes=stored.stored_bytes))
            for (execution, _), first in zip(made, linked, strict=True):
                await services.db(Database.add_execution, execution, flow, first)
                recorded += 1
                words = f"--- forked from savepoint {source.number} of {execution.forked_from_execution_id} ---"
                await services.tell(execution.id, words)
        except BaseException:
            for execution, _ in made[:recorded]:
                await services.db(Database.delete_execution, execution.id)
            for first in linked:
                await services.in_store(services.store.delete, first.id)
            raise

    async def _keep_alike(self, original: Execution, forks: Sequence[Execution]) -> None:
        """The original's own rule of which savepoints are kept is theirs, too."""
        for rule in await self._services.db(Database.retention_rules, original.flow_name, original.id):
            if rule.scope is KeepScope.EXECUTION:
                for fork in forks:
                    await self._services.db(Database.set_retention, replace(rule, subject=fork.id))


def _image_error(source: Savepoint, error: StoreError) -> FlowsnapError:
    kind: type[FlowsnapError] = Internal
    if isinstance(error, ImageDamaged | ImageMissing):
        kind = DataLoss
    elif isinstance(error, StoreFull):
        kind = ResourceExhausted
    return kind(f"savepoint {source.number} ({source.id}) of execution {source.execution_id}: {error}")
