"""Imports: an exported savepoint becomes an ended execution here, which a load takes on from there."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
import shutil
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from controller.errors import DataLoss, FlowsnapError, InvalidArgument
from controller.exports import FORMAT, transfer_error
from controller.flows import make_flow
from controller.ids import new_id, new_savepoint_id
from controller.model import (
    Execution,
    ExecutionType,
    Flow,
    FlowFile,
    ForkedFrom,
    Json,
    Savepoint,
    SavepointKind,
    Status,
)
from controller.ports import Database
from controller.services import Services
from controller.tokens import token_hash
from controller.values import checked_flow_name, checked_json, checked_name, packed
from store.errors import ImageDamaged, StoreError, from_os_error
from store.export_file import ExportFile

T = TypeVar("T")

_FILE = "file.fsnap"
_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{14}")
_SAVEPOINT_ID = re.compile(rf"sp-{_ID.pattern}")
_LARGEST = 2**31 - 1
_LARGEST_BYTES = 2**63 - 1
_TEXT_CHARACTERS = 4096

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made. original_id: the execution's id where it was exported."""

    execution: Execution
    savepoint: Savepoint
    original_id: str


class Imports:
    """All or nothing: a file that is refused leaves nothing."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def sweep(self) -> None:
        """Remove what transfers of an earlier controller left. Blocks; before there are any."""
        shutil.rmtree(self._services.config.transfers, ignore_errors=True)

    async def receive(self, parts: AsyncIterable[bytes], name: str) -> Imported:
        """Record what the file holds. name: the execution's, instead of its own.

        Its ids stay where they are free; where the execution's is taken, the import is a fork of it, under a new id.
        Raises InvalidArgument, DataLoss for a file that was cut short or altered, ResourceExhausted.
        """
        services = self._services
        if name:
            checked_name(name, "the execution's name")
        folder = services.config.transfers / new_id()
        try:
            await services.in_file(folder.mkdir, 0o700, parents=True)
            await self._spool(parts, folder / _FILE)
        except BaseException as error:
            self._remove(folder)
            if isinstance(error, OSError):
                raise transfer_error("the import failed", from_os_error(f"{folder}", error)) from error
            raise
        # From here on it goes on when the caller goes away.
        return await asyncio.shield(services.background(self._take_in(folder, name), "import"))

    def _remove(self, folder: Path) -> None:
        self._services.background(
            self._services.in_file(shutil.rmtree, folder, ignore_errors=True), f"removing {folder}"
        )

    async def _spool(self, parts: AsyncIterable[bytes], path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            async for part in parts:
                await self._services.in_file(file.write, part)

    async def _take_in(self, folder: Path, name: str) -> Imported:
        try:
            return await self._taken_in(ExportFile(folder / _FILE), folder / "image", name)
        except ImageDamaged as error:
            raise DataLoss(f"the import was refused: {error}") from error
        except (StoreError, OSError) as error:
            raise transfer_error("the import failed", error) from error
        finally:
            self._remove(folder)

    async def _taken_in(self, file: ExportFile, image: Path, name: str) -> Imported:
        services = self._services
        await services.in_file(file.verify)
        execution, flow, savepoint = _from_record(await services.in_file(file.record), services)
        original_id = execution.id
        execution, savepoint = await self._under_free_ids(execution, savepoint)
        if name:
            execution = replace(execution, name=name)
        await services.in_file(image.mkdir)
        await services.in_file(file.extract, image)
        try:
            stored = await services.in_store(services.store.put, savepoint.id, image, lineage=execution.id)
            savepoint = replace(savepoint, raw_bytes=stored.raw_bytes, stored_bytes=stored.stored_bytes)
            await services.db(Database.add_execution, execution, flow, savepoint)
        except BaseException:
            await services.in_store(services.store.delete, savepoint.id)
            raise
        words = f"--- imported: savepoint {savepoint.number}, exported from execution {original_id} ---"
        await services.tell(execution.id, words)
        _log.info("execution %s: imported", execution.id)
        return Imported(execution, savepoint, original_id)

    async def _under_free_ids(self, execution: Execution, savepoint: Savepoint) -> tuple[Execution, Savepoint]:
        db = self._services.db
        if await db(Database.execution, execution.id) is not None:
            origin = ForkedFrom(execution.id, savepoint.id, savepoint.number, savepoint.name, 0)
            execution_id = new_id()
            execution = replace(
                execution,
                id=execution_id,
                forked_from_execution_id=origin.execution_id,
                forked_from_savepoint_id=origin.savepoint_id,
                forked_from_number=origin.savepoint,
                forked_from_name=origin.name,
                fork_index=origin.index,
            )
        if await db(Database.savepoint, savepoint.id) is not None:
            savepoint = replace(savepoint, id=new_savepoint_id())
        execution = replace(
            execution,
            head_savepoint_id=savepoint.id,
            token_hash=token_hash(self._services.tokens.token(execution.id)),
        )
        return execution, replace(savepoint, execution_id=execution.id)


def _from_record(record: Mapping[str, Any], services: Services) -> tuple[Execution, Flow, Savepoint]:
    """Checked as what clients send. Raises InvalidArgument."""
    if record.get("format") != FORMAT:
        raise InvalidArgument(
            f"the file's record has format {record.get('format')!r}, and this version reads format {FORMAT}"
        )
    try:
        flow = _flow(_Fields(record, "flow"), services)
        savepoint = _savepoint(_Fields(record, "savepoint"), services)
        return _execution(_Fields(record, "execution"), flow, savepoint, services), flow, savepoint
    except FlowsnapError as error:
        raise InvalidArgument(f"the file was not made by `snapctl export`: {error}") from error


def _flow(fields: _Fields, services: Services) -> Flow:
    files = fields.get("files", dict)
    try:
        beside = [FlowFile(path, base64.b64decode(content, validate=True)) for path, content in files.items()]
    except (ValueError, TypeError) as error:
        raise fields.bad("files") from error
    flow = make_flow(fields.text("script"), fields.text("name"), beside, max_bytes=services.config.max_value_bytes)
    if flow.version != fields.text("version"):
        raise InvalidArgument(f"its flow is not of the version {fields.text('version')}")
    return flow


def _savepoint(fields: _Fields, services: Services) -> Savepoint:
    savepoint_id, name, open_calls = fields.text("id"), fields.text("name"), fields.get("open_calls", list)
    if not _SAVEPOINT_ID.fullmatch(savepoint_id):
        raise fields.bad("id")
    if name:
        checked_name(name, "the savepoint's name")
    return Savepoint(
        id=savepoint_id,
        execution_id="",
        number=fields.count("number", least=1),
        name=name,
        kind=fields.one_of("kind", SavepointKind),
        branch=fields.count("branch", least=1),
        parent_id=None,
        seq=fields.count("seq", most=_LARGEST_BYTES),
        call=fields.text("call"),
        file=fields.text("file"),
        line=fields.count("line"),
        function=fields.text("function"),
        open_calls=tuple(str(call) for call in open_calls),
        output_value=fields.json("output_value", services),
        created_at=fields.time("created_at"),
        raw_bytes=0,
        stored_bytes=0,
        frozen_us=fields.count("frozen_us", most=_LARGEST_BYTES),
        dump_us=fields.count("dump_us", most=_LARGEST_BYTES),
        last_seq=fields.count("last_seq", most=_LARGEST_BYTES),
    )


def _execution(fields: _Fields, flow: Flow, savepoint: Savepoint, services: Services) -> Execution:
    execution_id, now = fields.text("id"), services.clock.now()
    if not _ID.fullmatch(execution_id):
        raise fields.bad("id")
    execution = Execution(
        id=execution_id,
        name=checked_name(fields.text("name"), "the execution's name"),
        status=Status.ENDED_CANCELLED,
        message=f"imported, and not loaded yet: `snapctl load` goes on from savepoint {savepoint.number}",
        flow_name=checked_flow_name(fields.text("flow_name")),
        flow_version=flow.version,
        input_value=fields.json("input_value", services),
        output_value=savepoint.output_value,
        container_image=checked_name(fields.text("container_image"), "the container image"),
        container_image_name=fields.text("container_image_name"),
        memory_limit_bytes=fields.count("memory_limit_bytes", least=1, most=_LARGEST_BYTES),
        pids_limit=fields.count("pids_limit", least=1),
        token_hash="",
        created_at=fields.time("created_at"),
        ended_at=now,
        branch=savepoint.branch,
        savepoint_count=savepoint.number,
        last_call=savepoint.call,
        last_file=savepoint.file,
        last_line=savepoint.line,
        load_count=fields.count("load_count"),
        type=fields.one_of("type", ExecutionType),
    )
    if fields.get("forked_from", (dict, type(None))) is None:
        return execution
    origin = _Fields(fields.values, "forked_from")
    return replace(
        execution,
        forked_from_execution_id=origin.text("execution_id"),
        forked_from_savepoint_id=origin.text("savepoint_id"),
        forked_from_number=origin.count("savepoint"),
        forked_from_name=origin.text("name"),
        fork_index=origin.count("index"),
    )


class _Fields:
    """The fields of one part of the record, each with its type. All raise InvalidArgument."""

    def __init__(self, record: Mapping[str, Any], part: str) -> None:
        self._part = part
        values = record.get(part)
        if not isinstance(values, dict):
            raise InvalidArgument(f"its record has no {part}")
        self.values: dict[str, Any] = values

    def bad(self, name: str) -> InvalidArgument:
        return InvalidArgument(f"its record has no proper {self._part}.{name}")

    def get(self, name: str, kind: type[T] | tuple[type, ...]) -> Any:
        value = self.values.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.bad(name)
        return value

    def text(self, name: str) -> str:
        value: str = self.get(name, str)
        if name != "script" and len(value) > _TEXT_CHARACTERS:
            raise self.bad(name)
        return value

    def count(self, name: str, *, least: int = 0, most: int = _LARGEST) -> int:
        value: int = self.get(name, int)
        if not least <= value <= most:
            raise self.bad(name)
        return value

    def json(self, name: str, services: Services) -> Json:
        if name not in self.values:
            raise self.bad(name)
        return checked_json(packed(self.values[name]), f"its {name}", services.config.max_value_bytes)

    def time(self, name: str) -> datetime:
        try:
            value = datetime.fromisoformat(self.text(name))
        except ValueError as error:
            raise self.bad(name) from error
        if value.tzinfo is None:
            raise self.bad(name)
        return value

    def one_of(self, name: str, kind: type[T]) -> T:
        try:
            return kind(self.text(name))  # type: ignore[call-arg]  # an enumeration's
        except ValueError as error:
            raise self.bad(name) from error
