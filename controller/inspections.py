"""Looking into savepoints for people: opens images, and brings files of container images that explain memory."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from controller.errors import DataLoss, FlowsnapError
from controller.inspection.budget import Budget
from controller.inspection.diff import Difference, compare
from controller.inspection.errors import Unreadable
from controller.inspection.python_values import WIDE, Limits
from controller.inspection.report import Inspection, Report
from controller.model import Execution, Savepoint
from controller.savepoints import image_error
from controller.services import Services
from store.errors import StoreError

# Characters of values in a comparison, which keeps little of each.
_COMPARED: Final = 32 << 20
# A Python program has 7 MB, a library of it 30.
_LARGEST_FILE_BYTES: Final = 64 << 20
_CACHE_BYTES: Final = 64 << 20
# Of one savepoint: a flow may have mapped any number of files.
_FILES: Final = 16
_FILE_S: Final = 60.0


class Inspections:
    """Blocking work runs in threads of its own."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._files = _FileCache(services)

    async def inspect(self, execution: Execution, savepoint: Savepoint) -> Report:
        """Raises DataLoss when the image is damaged, gone, or not what is written here."""
        files = _ContainerFiles(self._files.getter(execution.container_image))

        def work() -> Report:
            with self._opened(savepoint, files, Limits(), Budget()) as opened:
                report = opened.report()
            return replace(report, problems=(*report.problems, *files.problems))

        with self._services.pins.hold(savepoint.id):
            return await self._services.in_inspection(work)

    async def compare(self, execution: Execution, before: Savepoint, after: Savepoint) -> Difference:
        """What happened from one to the other. Raises DataLoss."""
        files = _ContainerFiles(self._files.getter(execution.container_image))

        def work() -> Difference:
            with (
                self._opened(before, files, WIDE, Budget(characters=_COMPARED)) as one,
                self._opened(after, files, WIDE, Budget(characters=_COMPARED)) as other,
            ):
                found = compare(one, other)
            return replace(found, problems=(*found.problems, *files.problems))

        with self._services.pins.hold(before.id), self._services.pins.hold(after.id):
            return await self._services.in_inspection(work)

    @contextmanager
    def _opened(
        self, savepoint: Savepoint, files: _ContainerFiles, limits: Limits, budget: Budget
    ) -> Iterator[Inspection]:
        try:
            with self._services.store.view(savepoint.id) as view:
                yield Inspection(view, files.read, limits, budget)
        except StoreError as error:
            raise image_error(savepoint, error) from error
        except Unreadable as error:
            raise DataLoss(
                f"savepoint {savepoint.number} ({savepoint.id}) of execution {savepoint.execution_id}: its image can't"
                f" be read: {error}; look at another savepoint"
            ) from error


# A file of one container image, whole. Blocks; raises FlowsnapError.
_Get = Callable[[str], bytes]


class _FileCache:
    """Files of container images, the most recently used of them. Asked from threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._files: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def getter(self, image: str) -> _Get:
        """On the event loop, where the launcher lives."""
        loop = asyncio.get_running_loop()

        def get(path: str) -> bytes:
            with self._lock:
                found = self._files.get((image, path))
                if found is not None:
                    self._files.move_to_end((image, path))
                    return found
            reading = self._services.launcher.read_file(image, path, _LARGEST_FILE_BYTES)
            content = asyncio.run_coroutine_threadsafe(reading, loop).result(_FILE_S)
            self._keep(image, path, content)
            return content

        return get

    def _keep(self, image: str, path: str, content: bytes) -> None:
        with self._lock:
            self._files[image, path] = content
            while sum(map(len, self._files.values())) > _CACHE_BYTES:
                self._files.popitem(last=False)


class _ContainerFiles:
    """What one inspection reads of the container image. problems: what it could not."""

    def __init__(self, get: _Get) -> None:
        self._get = get
        self._known: dict[str, bytes | None] = {}
        self.problems: list[str] = []

    def read(self, path: str, size: int, offset: int, length: int) -> bytes | None:
        """size: what the file had at the dump; another one is not it. None: it can't be had."""
        if path not in self._known:
            self._known[path] = self._whole(path, size)
        content = self._known[path]
        return None if content is None else content[offset : offset + length]

    def _whole(self, path: str, size: int) -> bytes | None:
        if len(self._known) >= _FILES:
            return None
        try:
            content = self._get(path)
        except (FlowsnapError, TimeoutError) as error:
            self.problems.append(f"some values can't be read: {error or 'the launcher did not answer'}")
            return None
        if len(content) != size:
            self.problems.append(f"some values can't be read: {path} is another one in the container image")
            return None
        return content
