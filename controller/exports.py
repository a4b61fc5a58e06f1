"""Exports: a savepoint with all that it needs to go on elsewhere, as one file."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controller.errors import DataLoss, FlowsnapError, Internal, ResourceExhausted
from controller.ids import new_id
from controller.model import Execution, Flow, Savepoint
from controller.ports import Database
from controller.savepoints import Savepoints, Selector
from controller.services import Services
from controller.values import parsed
from store import export_file
from store.errors import StoreError, StoreFull

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ExportPart:
    """A piece of the file; the bytes of the image that are in it so far, and of how many."""

    data: bytes
    done_bytes: int
    total_bytes: int


class Exports:
    """Reads only: whatever the execution does goes on meanwhile."""

    def __init__(self, services: Services, savepoints: Savepoints) -> None:
        self._services = services
        self._savepoints = savepoints

    async def find(self, execution: Execution, selector: Selector | None) -> Savepoint:
        """The one that is meant; None: the one that the execution stands on. Raises NotFound."""
        if selector is not None:
            return await self._savepoints.resolve(execution, selector)
        return await self._savepoints.head(execution)

    async def export(self, execution: Execution, savepoint: Savepoint) -> AsyncIterator[ExportPart]:
        """The file's parts. Raises NotFound, DataLoss, ResourceExhausted, Internal."""
        services = self._services
        flow = await services.db(Database.flow, execution.flow_version)
        if flow is None:
            raise DataLoss(f"execution {execution.name!r}: its flow, version {execution.flow_version}, is gone")
        folder = services.config.transfers / new_id()
        try:
            await services.in_file(folder.mkdir, 0o700, parents=True)
            image = folder / "image"
            async with self._savepoints.in_use(savepoint):
                await self._savepoints.materialise(savepoint, image)
            total = await services.in_file(export_file.folder_bytes, image)
            record = record_of(execution, flow, savepoint, await services.in_file(_taken_on, image))
            pieces = export_file.write(record, image)
            while (piece := await services.in_file(_next, pieces)) is not None:
                yield ExportPart(piece.data, piece.done_bytes, total)
        except (StoreError, OSError) as error:
            raise transfer_error(f"savepoint {savepoint.number} of execution {execution.name!r}", error) from error
        finally:
            services.background(services.in_file(shutil.rmtree, folder, ignore_errors=True), f"removing {folder}")


def record_of(execution: Execution, flow: Flow, savepoint: Savepoint, taken_on: dict[str, Any]) -> dict[str, Any]:
    """What docs/savepoint-format.md describes, as JSON values."""
    return {
        "format": FORMAT,
        "taken_on": taken_on,
        "execution": {
            "id": execution.id,
            "name": execution.name,
            "type": execution.type.value,
            "flow_name": execution.flow_name,
            "input_value": parsed(execution.input_value),
            "container_image": execution.container_image,
            "container_image_name": execution.container_image_name,
            "memory_limit_bytes": execution.memory_limit_bytes,
            "pids_limit": execution.pids_limit,
            "created_at": execution.created_at.isoformat(),
            "load_count": execution.load_count,
            "forked_from": None if execution.forked_from is None else asdict(execution.forked_from),
        },
        "flow": {
            "name": flow.name,
            "version": flow.version,
            "script": flow.script,
            "files": {file.path: base64.b64encode(file.content).decode() for file in flow.files},
        },
        "savepoint": {
            "id": savepoint.id,
            "number": savepoint.number,
            "name": savepoint.name,
            "kind": savepoint.kind.value,
            "branch": savepoint.branch,
            "seq": savepoint.seq,
            "last_seq": savepoint.last_seq,
            "call": savepoint.call,
            "file": savepoint.file,
            "line": savepoint.line,
            "function": savepoint.function,
            "open_calls": list(savepoint.open_calls),
            "output_value": parsed(savepoint.output_value),
            "created_at": savepoint.created_at.isoformat(),
            "frozen_us": savepoint.frozen_us,
            "dump_us": savepoint.dump_us,
        },
    }


def transfer_error(what: str, error: StoreError | OSError) -> FlowsnapError:
    """The core's error for what the files of a transfer raised."""
    kind: type[FlowsnapError] = ResourceExhausted if isinstance(error, StoreFull) else Internal
    return kind(f"{what}: {error}")


def _taken_on(image: Path) -> dict[str, Any]:
    """What the agent wrote of the host where it was taken: for people, and for errors on another one."""
    try:
        written = json.loads((image / "savepoint.json").read_text())
        return {name: written.get(name, "") for name in ("criu", "kernel", "machine")}
    except (OSError, ValueError, AttributeError):
        return {}


def _next(pieces: Iterator[export_file.Piece]) -> export_file.Piece | None:
    # A StopIteration can't pass through a future.
    return next(pieces, None)
