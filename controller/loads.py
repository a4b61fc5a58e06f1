"""Loads: an execution is brought back to a savepoint, beside the tree that runs or in a new container."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, cast

import faults
from controller.containers import Containers
from controller.endings import Endings
from controller.errors import FailedPrecondition, FlowsnapError, Unavailable
from controller.ids import new_id
from controller.live import Live
from controller.model import NULL, Execution, Json, Load, Savepoint, SavepointKind, Status
from controller.ports import CommandResult, Database
from controller.restores import Restores
from controller.savepoints import Savepoints, Selector
from controller.services import Services
from controller.thinning import DUMP_CALLS
from controller.values import packed

By = Literal["operator", "script", "undo", "fork", "retry"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for what.

    verify: a dry run reads the whole image, as the load will. branch: refused when the execution left it meanwhile.
    undoes: the load that is taken back.
    """

    by: By
    savepoint: Selector
    dry_run: bool = False
    verify: bool = True
    branch: int | None = None
    undoes: Load | None = None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What happened, or would happen; before is None on a dry run and for an ended execution. Times in microseconds.

    left_behind: the savepoints that are on the way to the present and not on that to this one, by number.
    """

    execution: Execution
    savepoint: Savepoint
    before: Savepoint | None
    left_behind: Sequence[Savepoint]
    repeated_calls: tuple[str, ...]
    restore_us: int
    total_us: int


class Loads:
    """Carries out loads, one at a time per execution. A load that fails leaves the execution as it was."""

    def __init__(
        self,
        services: Services,
        savepoints: Savepoints,
        containers: Containers,
        endings: Endings,
        restores: Restores,
    ) -> None:
        self._services = services
        self._savepoints = savepoints
        self._containers = containers
        self._endings = endings
        self._restores = restores

    async def load(self, execution_id: str, request: Request) -> LoadResult:
        """Goes on when the caller goes away.

        Raises NotFound, FailedPrecondition, DataLoss for a damaged image, Unavailable, Internal with CRIU's words.
        """
        return await asyncio.shield(
            self._services.background(self._load(execution_id, request), f"load of {execution_id}")
        )

    async def load_locked(self, execution_id: str, request: Request) -> LoadResult:
        """As load, for those who hold the execution's lock."""
        began = time.monotonic_ns()
        execution = await self._services.execution(execution_id)
        savepoint = await self._savepoints.resolve(execution, request.savepoint)
        async with self._savepoints.in_use(savepoint):
            return await self._load_savepoint(execution, savepoint, request, began)

    async def _load_savepoint(
        self, execution: Execution, savepoint: Savepoint, request: Request, began: int
    ) -> LoadResult:
        services, execution_id = self._services, execution.id
        live = services.live.get(execution_id)
        left_behind = await self._left_behind(execution, savepoint)
        repeated = tuple(name for name in savepoint.open_calls if name not in DUMP_CALLS)
        if request.dry_run:
            if request.verify:
                await self._savepoints.verify(savepoint)
            return LoadResult(execution, savepoint, None, left_behind, repeated, 0, _since_us(began))
        if request.branch is not None and request.branch != execution.branch:
            raise FailedPrecondition(f"execution {execution_id}: it left branch {request.branch} meanwhile")
        if live is not None and live.ended.is_set():
            await live.cleaned_up()
            live = None
        if live is None or not live.housed:
            restored = await self._in_new_container(live, execution, savepoint, request)
            before_id = None if execution.status.ended else execution.head_savepoint_id
        else:
            before_id, restored = await self._beside(live, execution, savepoint, request)
        total_us = _since_us(began)
        return LoadResult(
            await services.execution(execution_id),
            savepoint,
            None if before_id is None else await services.db(Database.savepoint, before_id),
            left_behind,
            repeated,
            restored.restore_us,
            total_us,
        )

    async def _load(self, execution_id: str, request: Request) -> LoadResult:
        async with self._services.live.lock(execution_id):
            return await self.load_locked(execution_id, request)

    async def _beside(
        self, live: Live, execution: Execution, savepoint: Savepoint, request: Request
    ) -> tuple[str, CommandResult]:
        """Restore beside the frozen tree. Answers the savepoint of before, too."""
        services = self._services
        link = await live.agent()
        image_dir = f"restore-{new_id()}"
        folder = services.spool(execution.id) / image_dir
        try:
            materialised, saved = await asyncio.gather(
                self._savepoints.materialise(savepoint, folder),
                link.savepoint(SavepointKind.BEFORE_LOAD, leave_frozen=True, unless_unchanged=True),
                return_exceptions=True,
            )
            # Both have come to their end: a tree that is thawed now stays so.
            for outcome in (materialised, saved):
                if isinstance(outcome, BaseException):
                    raise outcome  # noqa: TRY301
            saved = cast("CommandResult", saved)
            faults.reach("controller.load.before")
            live.loading = asyncio.get_running_loop().create_future()
            restored = await link.restore(
                image_dir, savepoint.id, execution.branch + 1, self._restored(execution, savepoint, request)
            )
            await self._begin_branch(live, execution, savepoint, request, saved.savepoint_id)
        except BaseException as error:
            await self._go_on(live, execution, savepoint, error)
            raise
        finally:
            live.loading_over()
            services.background(services.in_file(shutil.rmtree, folder, ignore_errors=True), f"removing {folder}")
        live.restore_us = restored.restore_us
        return saved.savepoint_id, restored

    async def _in_new_container(
        self, living: Live | None, execution: Execution, savepoint: Savepoint, request: Request
    ) -> CommandResult:
        """Restore an execution that has no container. Its record stays as it is until that succeeded.

        living: one that has not ended. What it waits for goes on until then, too.
        """
        services = self._services
        live = living or services.live.add(execution)
        before = live.container
        live.loading = asyncio.get_running_loop().create_future()
        before_id = None if living is None else execution.head_savepoint_id
        record = self._restored(execution, savepoint, request)
        try:
            restored = await self._restores.in_new_container(
                live, execution, savepoint, execution.branch + 1, record, recovery=False
            )
            await self._begin_branch(live, execution, savepoint, request, before_id)
        except BaseException as error:
            if living is None:
                self._endings.release(live)
            elif not live.ended.is_set():
                await self._restores.give_up(live)
                # Whoever was to bring it back, when its wait or its backoff is over, still does.
                live.container = before
            live.loading_over()
            if not isinstance(error, Unavailable):
                with contextlib.suppress(Unavailable):
                    await live.cleaned_up()
            await services.tell(execution.id, f"--- loading savepoint {savepoint.number} failed: {error} ---")
            raise
        live.loading_over()
        self._containers.watch(live)
        return restored

    async def _begin_branch(
        self, live: Live, execution: Execution, savepoint: Savepoint, request: Request, before_id: str | None
    ) -> None:
        """Record the load. What the old tree had asked for is called off first: nothing of it is recorded later."""
        services = self._services
        load = Load(
            id=new_id(),
            execution_id=execution.id,
            savepoint_id=savepoint.id,
            loaded_id=savepoint.id,
            loaded_number=savepoint.number,
            loaded_name=savepoint.name,
            before_savepoint_id=before_id,
            before_status=execution.status,
            before_message=execution.message,
            before_output_value=(await services.execution(execution.id)).output_value,
            before_ended_at=execution.ended_at,
            branch_from=execution.branch,
            branch_to=execution.branch + 1,
            by=request.by,
            created_at=services.clock.now(),
        )
        live.cancel_calls()
        faults.reach("controller.load.row.before")
        undoes = "" if request.undoes is None else request.undoes.id
        # There is no way back to what ran or waited: its calls are called off, its tree is gone.
        record = services.db if before_id is None else services.insist
        try:
            await record(Database.begin_branch, load, savepoint, Status.RUNNING, savepoint.output_value, undoes)
        except FlowsnapError as error:
            # Two truths would be worse than an end: the restored tree goes, each savepoint can still be loaded.
            if before_id is not None:
                await self._endings.end_locked(live, Status.ENDED_ERROR, f"a load could not be recorded: {error}")
            raise
        faults.reach("controller.load.row.after")
        live.branch = live.attached_branch = load.branch_to
        live.head_savepoint_id = savepoint.id
        live.recovered = False
        live.paused_since = None
        live.output = None
        live.output_before.clear()
        # The restored tree's calls have waited for this; what follows need not hold them up.
        live.loading_over()
        await services.insist(Database.abandon_calls, execution.id, load.branch_from)
        await services.tell(execution.id, _mark(savepoint, request.by))
        _log.info("execution %s: loaded savepoint %s by %s", execution.id, savepoint.number, request.by)

    async def _go_on(self, live: Live, execution: Execution, savepoint: Savepoint, error: BaseException) -> None:
        """After a failed load the old tree goes on, frozen only when it was before."""
        if live.ended.is_set():
            return
        if execution.status is not Status.PAUSED and live.link is not None:
            try:
                await live.link.thaw()
            except FlowsnapError as thawing:
                _log.warning("execution %s: %s", execution.id, thawing)
        await self._services.tell(
            execution.id, f"--- loading savepoint {savepoint.number} failed, the execution goes on: {error} ---"
        )

    def _restored(self, execution: Execution, savepoint: Savepoint, request: Request) -> Json:
        place = (savepoint.number, savepoint.id, savepoint.name)
        return _record(execution, execution.load_count + 1, place, request.by)

    async def _left_behind(self, execution: Execution, savepoint: Savepoint) -> Sequence[Savepoint]:
        """By number."""
        all_of_it = await self._savepoints.list(execution.id)
        parents = {known.id: known.parent_id for known in all_of_it}

        def way(tip: str | None) -> list[str]:
            passed = []
            while tip is not None:
                passed.append(tip)
                tip = parents.get(tip)
            return passed

        kept = set(way(savepoint.id))
        left = set(way(execution.head_savepoint_id)) - kept
        return [known for known in all_of_it if known.id in left]


async def restored_record(services: Services, execution: Execution) -> Json:
    """What this.restored shows on the execution's present branch: a recovery changes nothing of it."""
    loads = await services.db(Database.loads, execution.id)
    load = next((load for load in reversed(loads) if load.branch_to == execution.branch), None)
    if load is not None:
        place = (load.loaded_number, load.loaded_id, load.loaded_name)
        return _record(execution, execution.load_count, place, load.by)
    origin = execution.forked_from
    if origin is None:
        return NULL
    savepoints = await services.db(Database.savepoints, execution.id)
    first = next((savepoint.id for savepoint in savepoints if savepoint.number == 1), origin.savepoint_id)
    return _record(execution, 1, (1, first, origin.name), "fork")


def _record(execution: Execution, times: int, savepoint: tuple[int, str, str], by: str) -> Json:
    """savepoint: its number, id and name."""
    number, savepoint_id, name = savepoint
    origin = execution.forked_from
    forked = {} if origin is None else {"fork": execution.id, "forked_from": asdict(origin)}
    return packed(
        {
            "times": times,
            "savepoint": number,
            "savepoint_id": savepoint_id,
            "name": name,
            "why": by,
            **forked,
        }
    )


def _since_us(began_ns: int) -> int:
    return (time.monotonic_ns() - began_ns) // 1000


def _mark(savepoint: Savepoint, by: By) -> str:
    name = f" {savepoint.name!r}" if savepoint.name else ""
    place = f" (line {savepoint.line}, {savepoint.call})" if savepoint.call else ""
    return f"--- loaded savepoint {savepoint.number}{name}{place}, by {by} ---"
