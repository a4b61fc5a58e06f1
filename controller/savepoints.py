"""Savepoints: committed from an agent's spool folder, taken on request, found, listed."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import faults
from controller.errors import (
    DataLoss,
    FailedPrecondition,
    FlowsnapError,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from controller.ids import new_savepoint_id
from controller.live import Live
from controller.model import CallKey, Execution, Json, Savepoint, SavepointKind
from controller.ports import Database, StoredImage
from controller.retention import Retentions
from controller.services import Services
from controller.values import checked_name
from store.errors import ImageDamaged, ImageMissing, StoreError, StoreFull

_log = logging.getLogger(__name__)

_IMAGE_DIR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_COMMITS_KEPT = 16  # finished ones, whose answer an agent may have missed
_STORE_RETRY_S = (0.5, 5.0)
_NAMES_LISTED = 5


@dataclass(frozen=True, slots=True)
class Selector:
    """by id: a number within the execution, or a global id; by name: the newest of that name."""

    text: str
    by: Literal["id", "name"]


@dataclass(frozen=True, slots=True)
class Dump:
    """A dumped image in the spool folder; seq is 0 when it was taken at no call. Times in microseconds."""

    kind: SavepointKind
    name: str
    branch: int
    seq: int
    call: str
    file: str
    line: int
    function: str
    image_dir: str
    frozen_us: int
    dump_us: int
    open_calls: tuple[str, ...]
    last_seq: int


class Savepoints:
    """The savepoints of all executions."""

    def __init__(self, services: Services, retentions: Retentions) -> None:
        self._services = services
        self._retentions = retentions

    async def commit(self, execution_id: str, dump: Dump) -> Savepoint:
        """Put an image into the store, then record it; repeated, it joins the first. The folder is gone afterwards.

        Raises InvalidArgument, FailedPrecondition when its branch was left, ResourceExhausted when the disk is full.
        """
        if not _IMAGE_DIR.fullmatch(dump.image_dir):
            raise InvalidArgument(f"image folder {dump.image_dir!r}: not the plain name of a folder in the spool")
        live = self._services.live.get(execution_id)
        if live is None:
            raise FailedPrecondition(f"execution {execution_id} has ended: no savepoint of it can be taken")
        task = live.commits.get(dump.image_dir)
        if task is None:
            for name in [name for name, done in live.commits.items() if done.done()][:-_COMMITS_KEPT]:
                del live.commits[name]
            task = self._services.background(self._commit(live, dump), f"commit of a savepoint of {execution_id}")
            live.commits[dump.image_dir] = task
        return await asyncio.shield(task)

    async def create(self, execution_id: str, name: str) -> Savepoint:
        """Take one of a running execution at this instant.

        One without a container stands where its newest savepoint does: that is the answer, under this name.
        Raises FailedPrecondition when it has ended, ResourceExhausted at its quota.
        """
        if name:
            checked_name(name, "the savepoint's name")
        await self._retentions.check_quota(execution_id)
        async with self._services.live.lock(execution_id):
            execution = await self._services.execution(execution_id)
            live = self._services.live.get(execution_id)
            if live is None or execution.status.ended:
                raise FailedPrecondition(
                    f"execution {execution.name!r} has ended with {execution.status}: there is nothing to save; its"
                    " savepoints can be loaded"
                )
            if not live.housed and execution.head_savepoint_id is not None:
                return await self._newest(execution_id, execution.head_savepoint_id, name)
            link = await live.agent()
            return await self.get(execution_id, (await link.savepoint(SavepointKind.OPERATOR, name)).savepoint_id)

    async def _newest(self, execution_id: str, savepoint_id: str, name: str) -> Savepoint:
        newest = await self.get(execution_id, savepoint_id)
        if not name or name == newest.name:
            return newest
        if newest.name:
            raise FailedPrecondition(
                f"execution {execution_id} waits without a container, and its newest savepoint {newest.number} has the"
                f" name {newest.name!r} already; load that, or take one when it runs again"
            )
        await self._services.db(Database.name_savepoint, savepoint_id, name, newest.kind)
        return await self.get(execution_id, savepoint_id)

    async def get(self, execution_id: str, savepoint_id: str) -> Savepoint:
        """Raises NotFound."""
        found = await self._services.db(Database.savepoint, savepoint_id)
        if found is None:
            raise NotFound(f"execution {execution_id}: there is no savepoint {savepoint_id!r}; list its savepoints")
        return found

    async def head(self, execution: Execution) -> Savepoint:
        """The one that the execution stands on. Raises NotFound."""
        if execution.head_savepoint_id is None:
            raise NotFound(f"execution {execution.name!r} has no savepoint yet; it takes one at its first call")
        return await self.get(execution.id, execution.head_savepoint_id)

    async def list(self, execution_id: str) -> Sequence[Savepoint]:
        """By number, ascending."""
        return await self._services.db(Database.savepoints, execution_id)

    async def resolve(self, execution: Execution, selector: Selector) -> Savepoint:
        """The savepoint that is meant. Raises NotFound, and FailedPrecondition for another execution's."""
        text = selector.text
        if selector.by == "id" and not (text.isascii() and text.isdigit()):
            found = await self._services.db(Database.savepoint, text)
            if found is not None and found.execution_id != execution.id:
                raise FailedPrecondition(
                    f"savepoint {text} belongs to execution {found.execution_id}, not to {execution.id}; load it there"
                )
            matching = [] if found is None else [found]
        else:
            matching = [
                savepoint
                for savepoint in await self.list(execution.id)
                if (savepoint.name == text if selector.by == "name" else savepoint.number == int(text))
            ]
        if not matching:
            raise await self._unknown(execution, selector)
        return matching[-1]

    @asynccontextmanager
    async def in_use(self, savepoint: Savepoint) -> AsyncIterator[None]:
        """Within the block nothing removes it. Raises NotFound when that has happened before."""
        with self._services.pins.hold(savepoint.id):
            # Removals that did not see the pin are done by now.
            await self.get(savepoint.execution_id, savepoint.id)
            yield

    async def remove(self, execution: Execution, selectors: Sequence[Selector]) -> Sequence[Savepoint]:
        """For good; their children get their parent. Raises NotFound; FailedPrecondition when one is in use."""
        savepoints = {found.id: found for found in [await self.resolve(execution, one) for one in selectors]}
        await self._retentions.remove(execution, list(savepoints.values()))
        return sorted(savepoints.values(), key=lambda savepoint: savepoint.number)

    async def materialise(self, savepoint: Savepoint, folder: Path) -> None:
        """Write the image into a new folder, verified. Raises DataLoss, ResourceExhausted, Internal."""
        with self._services.pins.hold(savepoint.id):
            await self._services.in_store(_get_image, self._services, savepoint, folder)

    async def verify(self, savepoint: Savepoint) -> None:
        """Raises DataLoss when the image is damaged or gone."""
        with self._services.pins.hold(savepoint.id):
            await self._services.in_store(_verify_image, self._services, savepoint)

    async def _commit(self, live: Live, dump: Dump) -> Savepoint:
        services = self._services
        folder = services.spool(live.execution_id) / dump.image_dir
        try:
            if dump.branch == live.branch + 1 and live.loading is not None:
                # The restored tree is quicker than the record of its restore.
                await asyncio.shield(live.loading)
            self._check_branch(live, dump)
            if (known := await self._committed_before(live, dump)) is not None:
                self._remove(folder)
                return known
            if not folder.is_dir():
                words = f"there is no image folder {dump.image_dir!r} in its spool"
                raise NotFound(f"execution {live.execution_id}: {words}")  # noqa: TRY301
            faults.reach("controller.commit.before")
            savepoint_id = new_savepoint_id()
            stored = await self._put(live, dump, savepoint_id, folder)
            try:
                self._check_branch(live, dump)
                async with live.output_lock:
                    record = self._record(live, dump, savepoint_id, stored, _output_at(live, dump.seq))
                    faults.reach("controller.commit.row.before")
                    recorded = await services.insist(Database.add_savepoint, record)
                    faults.reach("controller.commit.row.after")
            except Exception:
                # Not when cancelled: the row may come to be all the same, and an image without a row is garbage.
                await services.in_store(services.store.delete, savepoint_id)
                raise
            live.head_savepoint_id = recorded.id
            self._retentions.committed(recorded)
        except asyncio.CancelledError:
            # The controller is going: the agent asks the next one, which needs the folder.
            raise
        except BaseException:
            self._remove(folder)
            raise
        self._remove(folder)
        services.changes.notify(live.execution_id)
        return recorded

    async def commit_left_over(self, execution_id: str) -> None:
        """Commit what an agent dumped and no controller heard of. Its container is gone; a complete dump has a record.

        One that can't be committed is dropped: the savepoint before it is the newest then.
        """
        for dump in await self._services.in_file(_left_over, self._services.spool(execution_id)):
            try:
                await self.commit(execution_id, dump)
            except FlowsnapError as error:
                _log.warning("execution %s: a savepoint that was left in its spool is lost: %s", execution_id, error)

    def _remove(self, folder: Path) -> None:
        """Off the path of the answer."""
        self._services.background(self._remove_until_gone(folder), f"removing {folder}")

    async def _remove_until_gone(self, folder: Path) -> None:
        """Whatever the disk says just now: what is left with its record would be committed once more at the end."""
        pause_s, longest_s = _STORE_RETRY_S
        while True:
            try:
                return await self._services.in_file(_remove_dump, folder)
            except OSError as error:
                _log.warning("removing %s: %s; trying again", folder, error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    async def _committed_before(self, live: Live, dump: Dump) -> Savepoint | None:
        """The row of a commit whose answer was lost with an earlier controller."""
        key = CallKey(live.execution_id, dump.branch, dump.seq)
        return await self._services.db(Database.savepoint_of_dump, key, dump.image_dir)

    async def _put(self, live: Live, dump: Dump, savepoint_id: str, folder: Path) -> StoredImage:
        """Into the store. A call waits for room where the configuration says so; an operator does not."""
        services = self._services
        waits = services.config.on_store_full == "wait" and dump.seq > 0
        pause_s, longest_s = _STORE_RETRY_S
        while True:
            try:
                stored = await services.in_store(
                    services.store.put,
                    savepoint_id,
                    folder,
                    lineage=live.execution_id,
                    parent=live.head_savepoint_id,
                )
            except StoreFull as error:
                if not waits:
                    raise ResourceExhausted(f"execution {live.execution_id}: {error}") from error
                if live.ended.is_set():
                    raise FailedPrecondition(f"execution {live.execution_id} ended meanwhile: {error}") from error
                self._retentions.room_wanted()
                if not live.told_store_full:
                    live.told_store_full = True
                    await services.tell(live.execution_id, f"--- waiting for room in the store: {error} ---")
            except StoreError as error:
                raise Internal(f"execution {live.execution_id}: {error}") from error
            else:
                live.told_store_full = False
                return stored
            await _wait(live.ended, pause_s)
            pause_s = min(2 * pause_s, longest_s)

    def _check_branch(self, live: Live, dump: Dump) -> None:
        if dump.branch != live.branch:
            raise FailedPrecondition(
                f"execution {live.execution_id}: branch {dump.branch} was left, it is on branch {live.branch};"
                " the savepoint is dropped"
            )

    def _record(
        self, live: Live, dump: Dump, savepoint_id: str, stored: StoredImage, output_value: Json | None
    ) -> Savepoint:
        return Savepoint(
            id=savepoint_id,
            execution_id=live.execution_id,
            number=0,
            name=dump.name,
            kind=dump.kind,
            branch=dump.branch,
            parent_id=None,
            seq=dump.seq,
            call=dump.call,
            file=dump.file,
            line=dump.line,
            function=dump.function,
            open_calls=dump.open_calls,
            output_value=output_value or b"",
            created_at=self._services.clock.now(),
            raw_bytes=stored.raw_bytes,
            stored_bytes=stored.stored_bytes,
            frozen_us=dump.frozen_us,
            dump_us=dump.dump_us,
            last_seq=dump.last_seq,
            image_dir=dump.image_dir,
        )

    async def _unknown(self, execution: Execution, selector: Selector) -> NotFound:
        savepoints = await self.list(execution.id)
        names = list(dict.fromkeys(savepoint.name for savepoint in reversed(savepoints) if savepoint.name))
        if names:
            known = "the newest names are " + ", ".join(map(repr, names[:_NAMES_LISTED]))
        elif savepoints:
            known = f"none has a name, the numbers are {savepoints[0].number} to {savepoints[-1].number}"
        else:
            known = "it has none yet"
        what = "named" if selector.by == "name" else "with the id"
        return NotFound(f"execution {execution.name!r} has no savepoint {what} {selector.text!r}; {known}")


def _output_at(live: Live, seq: int) -> Json | None:
    """The output value when that call was made; None: it was not changed since.

    The call, and even the next one, may have changed it by now, and will do so again after a load.
    """
    if not seq:
        return None
    for earlier in [known for known in live.output_before if known < seq]:
        del live.output_before[earlier]
    return live.output_before[min(live.output_before)] if live.output_before else None


def _record_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _remove_dump(folder: Path) -> None:
    """The record first: it says that the image is complete."""
    _record_of(folder).unlink(missing_ok=True)
    faults.reach("controller.commit.record.after")
    shutil.rmtree(folder, ignore_errors=True)


def _left_over(spool: Path) -> list[Dump]:
    """The dumps in a spool folder that have a record and an image, oldest first."""
    found = []
    for record in sorted(spool.glob("[!.]*.json"), key=lambda path: path.stat().st_mtime_ns):
        fields = json.loads(record.read_text())
        kind, open_calls = SavepointKind(fields.pop("kind")), tuple(fields.pop("open_calls"))
        dump = Dump(kind=kind, open_calls=open_calls, **fields)
        if (spool / dump.image_dir).is_dir():
            found.append(dump)
    return found


def _get_image(services: Services, savepoint: Savepoint, folder: Path) -> None:
    try:
        # Readable for all: a restored process opens its image as the sandbox's root. The folder above is closed.
        folder.mkdir()
        services.store.get(savepoint.id, folder)
    except (StoreError, OSError) as error:
        raise image_error(savepoint, error) from error


def _verify_image(services: Services, savepoint: Savepoint) -> None:
    try:
        services.store.verify(savepoint.id)
    except StoreError as error:
        raise image_error(savepoint, error) from error


def image_error(savepoint: Savepoint, error: Exception) -> FlowsnapError:
    """What the store, or a disk, refused about a savepoint's image."""
    kind: type[FlowsnapError] = Internal
    if isinstance(error, ImageDamaged | ImageMissing):
        kind = DataLoss
    elif isinstance(error, StoreFull):
        kind = ResourceExhausted
    return kind(f"savepoint {savepoint.number} ({savepoint.id}) of execution {savepoint.execution_id}: {error}")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
