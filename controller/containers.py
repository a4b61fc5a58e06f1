"""An execution's container: its folder, its start, and the wait for its agent."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections.abc import Awaitable
from typing import Literal, TypeVar

import faults
from controller.endings import Endings
from controller.errors import FlowsnapError, Internal, NotFound, ResourceExhausted, Unavailable
from controller.live import ATTACH_LIMIT_S, Live
from controller.losses import ENDED_WITH_ENGINE, LossHandler, container_loss
from controller.model import Execution, Status
from controller.ports import ContainerEnd, ContainerSpec
from controller.services import Services

T = TypeVar("T")

Mode = Literal["start", "restore"]

_ENGINE_RETRY_S = 1.0

_log = logging.getLogger(__name__)


class Containers:
    """Starts containers and watches over them; Endings lets them go."""

    def __init__(self, services: Services, endings: Endings) -> None:
        self._services = services
        self._endings = endings
        self._when_lost: LossHandler | None = None

    def when_lost(self, handler: LossHandler) -> None:
        """Who is told of containers that end by themselves. To be said before the first is watched."""
        self._when_lost = handler

    async def start(self, execution: Execution, mode: Mode, branch: int) -> None:
        """A container whose agent starts the script, or waits for a savepoint to restore.

        Raises what Launcher.start raises, and Unavailable when its folder can't be made.
        """
        services = self._services
        spec = ContainerSpec(
            execution.id,
            execution.container_image,
            services.agent_dir(execution.id),
            execution.memory_limit_bytes,
            execution.pids_limit,
        )
        await services.in_file(self._prepare_folder, spec, mode, branch)
        faults.reach("controller.container.start.before")
        try:
            await services.launcher.start(spec)
        except NotFound as error:
            await self._check_image(execution)
            raise error from None
        faults.reach("controller.container.start.after")

    async def _check_image(self, execution: Execution) -> None:
        """Raises NotFound with the way out when its image is not on this host."""
        try:
            await self._services.launcher.resolve_image(execution.container_image)
        except NotFound as error:
            name = execution.container_image_name
            called = f" (called {name!r})" if name else ""
            raise NotFound(
                f"execution {execution.id}: its container image {execution.container_image}{called} is not on this"
                f" host: a savepoint needs the very image in which it was taken; bring it here (docker save"
                f" {name or 'IMAGE'} on the host that has it, docker load here), and load again"
            ) from error

    def begin(self, live: Live, execution: Execution) -> None:
        """Start the script in the background, as soon as the engine does; another failure ends the execution."""
        live.house(restoring=False)
        work = self._begin(live, live.container, execution)
        live.starting = self._services.background(work, f"starting {execution.id}")

    def watch(self, live: Live) -> None:
        """Tell of the loss when its container ends without a word."""
        live.watching = self._services.background(
            self._watch(live, live.container), f"watching the container of {live.execution_id}"
        )

    async def unless_it_ends(self, live: Live, work: Awaitable[T]) -> T:
        """The result of work that needs the container.

        Raises Internal when that ends meanwhile, Unavailable when others ended it.
        """
        working = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(self.end(live.execution_id))
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return await working
            end = await watching
            what = f"execution {live.execution_id}: its new container"
            if end.ended_by_others:
                raise Unavailable(f"{what} was ended, perhaps with the Docker engine; try again")
            why = "out of memory: raise its memory limit" if end.oom_killed else f"exit status {end.exit_status}"
            raise Internal(f"{what} ended: {why}")
        finally:
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def _watch(self, live: Live, container: int) -> None:
        end = await self.end(live.execution_id)
        if live.ended.is_set() or live.container != container:
            return
        execution = await self._services.execution(live.execution_id)
        loss = await container_loss(self._services.launcher, execution, end)
        if live.link is not None:
            live.link.close()
        if self._when_lost is not None:
            self._when_lost(live, container, live.branch, loss)

    async def end(self, execution_id: str) -> ContainerEnd:
        """Once its container has ended, whatever the engine says meanwhile."""
        while True:
            try:
                return await self._services.launcher.wait_end(execution_id)
            except Exception as error:  # noqa: BLE001  the engine may be restarting: containers outlive it
                _log.warning("execution %s: watching its container: %s; trying again", execution_id, error)
                await asyncio.sleep(_ENGINE_RETRY_S)

    async def _begin(self, live: Live, container: int, execution: Execution) -> None:
        told = False
        while not live.ended.is_set() and live.container == container:
            try:
                if told and await self._was_started(live, container):
                    return
                await self.start(execution, "start", execution.branch)
                break
            except (Unavailable, ResourceExhausted) as error:
                _log.warning("execution %s: its container can't be started yet: %s", execution.id, error)
                if not told:
                    told = True
                    await self._services.tell(execution.id, f"--- {error}; its start is tried again until it works ---")
                await asyncio.sleep(_ENGINE_RETRY_S)
            except Exception as error:  # noqa: BLE001  whatever it was: the execution has to hear of it
                words = str(error) if isinstance(error, FlowsnapError) else f"{type(error).__name__}: {error}"
                await self._endings.end(live, Status.ENDED_ERROR, f"its container could not be started: {words}")
                return
        if live.ended.is_set() or live.container != container:
            return
        self.watch(live)
        self._services.background(self._expect_agent(live, container), f"waiting for the agent of {live.execution_id}")

    async def _was_started(self, live: Live, container: int) -> bool:
        """Whether the engine carried an earlier start out, and went before it said so; else nothing of it is left."""
        if live.attached.is_set():
            self.watch(live)
            return True
        await self._services.launcher.remove(live.execution_id)
        if live.link is None:
            return False
        # Its script had begun, and may have made calls.
        if self._when_lost is not None:
            self._when_lost(live, container, live.branch, ENDED_WITH_ENGINE)
        return True

    async def _expect_agent(self, live: Live, container: int) -> None:
        try:
            await live.agent(ATTACH_LIMIT_S)
        except Unavailable as error:
            # One that was lost meanwhile has another container, with a time of its own.
            if live.container == container:
                await self._endings.end(live, Status.ENDED_ERROR, str(error))

    def _prepare_folder(self, spec: ContainerSpec, mode: Mode, branch: int) -> None:
        """A fresh folder. The mode 0700 keeps the token from other users of the host."""
        folder, execution_id = spec.agent_dir, spec.execution_id
        settings = {
            "execution_id": execution_id,
            "token": self._services.tokens.token(execution_id),
            # Full scratch is an error that a flow can handle; full memory ends it.
            "scratch_limit_bytes": spec.memory_limit_bytes // 2,
            "mode": mode,
            "branch": branch,
            "on_store_full": self._services.config.on_store_full,
            "durability": self._services.config.durability,
            "usage_every_s": self._services.config.usage_every_s,
            "faults": faults.hand_on(),
        }
        try:
            if folder.exists():
                shutil.rmtree(folder)
            (folder / "spool").mkdir(mode=0o700, parents=True)
            folder.chmod(0o700)
            descriptor = os.open(folder / "agent.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(settings, file)
        except OSError as error:
            raise Unavailable(f"execution {execution_id}: its folder {folder} can't be made: {error}") from error
