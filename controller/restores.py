"""Restores: a savepoint brought to life in a container made for it."""

from __future__ import annotations

import asyncio
import logging
import shutil

import faults
from controller.containers import Containers
from controller.endings import Endings
from controller.errors import FlowsnapError
from controller.ids import new_id
from controller.live import ATTACH_LIMIT_S, Live
from controller.model import Execution, Json, Savepoint
from controller.ports import CommandResult
from controller.savepoints import Savepoints
from controller.services import Services

_log = logging.getLogger(__name__)


class Restores:
    """What loads, recoveries and forks have in common; which branch it is, and what the records say, is theirs."""

    def __init__(self, services: Services, savepoints: Savepoints, containers: Containers, endings: Endings) -> None:
        self._services = services
        self._savepoints = savepoints
        self._containers = containers
        self._endings = endings

    async def in_new_container(
        self, live: Live, execution: Execution, savepoint: Savepoint, branch: int, restored: Json, *, recovery: bool
    ) -> CommandResult:
        """Holding the execution's lock; whatever container it had is gone then.

        restored: what this.restored shows. recovery: the open calls are still the same as before. Whoever asks watches
        over the container. Raises what Launcher.start raises, DataLoss, Unavailable, Internal with CRIU's words; no
        container is left then.
        """
        services = self._services
        image_dir = f"restore-{new_id()}"
        folder = services.spool(execution.id) / image_dir
        live.house(restoring=True)
        try:
            await services.launcher.remove(execution.id)
            await self._containers.start(execution, "restore", branch)
            faults.reach("controller.restore.before")
            _, link = await asyncio.gather(
                self._savepoints.materialise(savepoint, folder),
                self._containers.unless_it_ends(live, live.agent(ATTACH_LIMIT_S)),
            )
            restoring = link.restore(image_dir, savepoint.id, branch, restored, recovery=recovery)
            result = await self._containers.unless_it_ends(live, restoring)
            faults.reach("controller.restore.after")
        except BaseException:
            await self.give_up(live)
            raise
        live.restoring = False
        live.restore_us = result.restore_us
        services.background(services.in_file(shutil.rmtree, folder, ignore_errors=True), f"removing {folder}")
        return result

    async def give_up(self, live: Live) -> None:
        """Holding the lock: the container that was made goes, or is forgotten: the next one takes its place."""
        # Its last savepoints wait for the load, and this for them.
        live.loading_over()
        try:
            await asyncio.shield(self._services.background(self._endings.let_go(live), "removing a container"))
        except FlowsnapError as error:
            _log.warning("execution %s: its new container could not be removed: %s", live.execution_id, error)
            live.unhouse()
