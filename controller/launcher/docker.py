"""Executions' containers on one Docker engine, for the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from controller.config import Config
from controller.errors import Unavailable
from controller.ports import ContainerEnd, ContainerSpec, Host

if TYPE_CHECKING:
    from controller.launcher.docker_engine import DockerEngine

# Starts and removals wait for the kernel most of the time; the engine itself works on about as many at once.
_THREADS = 16
_LOOK_AGAIN_S = 5.0

_T = TypeVar("_T")


class DockerLauncher:
    """Implements controller.ports.Launcher.

    Works in threads of its own, so that slow starts keep nothing else waiting; the docker SDK is imported there with
    the first use. Besides what the methods name they raise Unavailable, ResourceExhausted and Internal.
    """

    def __init__(self, config: Config, *, entrypoint: Sequence[str] | None = None) -> None:
        """entrypoint: the container's command instead of the image's agent."""
        self._config = config
        self._entrypoint = entrypoint
        self._lock = threading.Lock()
        self._engine: DockerEngine | None = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")

    async def close(self) -> None:
        """End the threads and connections; containers go on."""
        await self._ask(lambda engine: engine.close())
        self._threads.shutdown()

    async def start(self, spec: ContainerSpec) -> None:
        """Create and start the execution's container; after an error nothing of it is left.

        Raises NotFound for an image that is not there, AlreadyExists when the execution has a container already,
        InvalidArgument when a folder that is mounted is missing, Unavailable when the engine does not answer.
        """
        await self._ask(lambda engine: engine.start(spec))

    async def remove(self, execution_id: str) -> None:
        """Kill and remove the execution's container; does nothing when there is none."""
        await self._ask(lambda engine: engine.remove(execution_id))

    async def oom_killed(self, execution_id: str) -> bool:
        """Whether the kernel killed a process of the container for memory, be it the agent or one below it."""
        end, _running = await self._ask(lambda engine: engine.look(execution_id))
        return end.oom_killed

    async def resolve_image(self, image: str) -> str:
        """The image's content id, "sha256:...". Raises NotFound, Unavailable."""
        return await self._ask(lambda engine: engine.image_id(image))

    async def read_file(self, image: str, path: str, limit_bytes: int) -> bytes:
        """A regular file of an image. Raises NotFound, InvalidArgument when it is larger, Unavailable."""
        return await self._ask(lambda engine: engine.read_file(image, path, limit_bytes))

    async def wait_end(self, execution_id: str) -> ContainerEnd:
        """Returns when the container has ended or is gone; outlives a restart of the engine.

        exit_status is -1 when the container was gone before anybody saw its end.
        """
        events = await self._ask(lambda engine: engine.events)
        events.start()
        events.follow(execution_id)
        while True:
            # Watch first, then look: what happens in between ends the wait.
            with events.watching(execution_id) as changed:
                longest_s: float | None = None
                try:
                    end, running = await self._ask(lambda engine: engine.look(execution_id))
                except Unavailable:
                    # It may be back already, and never have been away for those who follow its events.
                    running, longest_s = True, _LOOK_AGAIN_S
                if not running:
                    return end
                await asyncio.wait({changed}, timeout=longest_s)

    async def tail(self, execution_id: str) -> str:
        """The last 20 lines that the container's first process wrote; empty when there is no container."""
        return await self._ask(lambda engine: engine.tail(execution_id))

    async def list_executions(self) -> list[str]:
        """Ids of the executions that have a container, running or not, with this configuration's data folder."""
        return await self._ask(lambda engine: engine.executions())

    async def hosts(self) -> Sequence[Host]:
        """One: that of the engine."""
        # Not in the launcher's threads: they may all be waiting for the engine that is asked about.
        return [await asyncio.to_thread(lambda: self._opened().host())]

    async def _ask(self, question: Callable[[DockerEngine], _T]) -> _T:
        def ask() -> _T:
            return question(self._opened())

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    def _opened(self) -> DockerEngine:
        with self._lock:
            if self._engine is None:
                # The SDK takes 150 ms to import: off the loop, and not before it is needed.
                from controller.launcher.docker_engine import DockerEngine

                self._engine = DockerEngine(self._config, self._entrypoint, _THREADS)
            return self._engine
