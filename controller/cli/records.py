"""Messages of the contract as plain records, for JSON output and for tables."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from controller.cli import units
from controller.cli.printer import PARKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flowsnap.v1 import types_pb2
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

Record = dict[str, Any]

_JSON_SUFFIX = "_json"


def record(message: Message) -> Record:
    """Every field under its name in the contract, with what JSON consumers expect as values.

    Times are ISO 8601 or null, enums their short name ("RUNNING"), 64-bit integers numbers, and bytes called
    x_json the value itself, called x. (protobuf's own JSON writes integers as text and bytes as base64.)
    """
    out: Record = {}
    fields: Sequence[Any] = message.DESCRIPTOR.fields
    for field in fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            out[field.name] = [_value(field, item) for item in value]
        elif field.type == field.TYPE_MESSAGE and not message.HasField(field.name):
            out[field.name] = None
        elif field.type == field.TYPE_BYTES:
            out[field.name.removesuffix(_JSON_SUFFIX)] = json_value(value)
        else:
            out[field.name] = _value(field, value)
    return out


def flow_files(files: Iterable[types_pb2.FlowFile]) -> list[Record]:
    """Path and content of each; what is no UTF-8 text is base64."""
    found = []
    for file in files:
        try:
            found.append({"path": file.path, "content": file.content.decode()})
        except UnicodeDecodeError:
            found.append({"path": file.path, "content_base64": base64.b64encode(file.content).decode()})
    return found


def json_value(text: bytes) -> Any:
    """What JSON bytes of the contract mean; empty means null."""
    return json.loads(text) if text else None


def moment(message: Message, field: str) -> datetime | None:
    """A timestamp field, aware and in UTC; None when it is not set."""
    if not message.HasField(field):
        return None
    value: Timestamp = getattr(message, field)
    return value.ToDatetime(UTC)


def status(execution: types_pb2.Execution) -> str:
    """The short name of an execution's status: "RUNNING"."""
    from flowsnap.v1 import types_pb2

    return types_pb2.ExecutionStatus.Name(execution.status).removeprefix("EXECUTION_STATUS_")


def standing(execution: types_pb2.Execution) -> str:
    """Its status, and whether it has no container meanwhile: "SLEEPING (parked)"."""
    return status(execution) + (PARKED if execution.parked else "")


def kind(savepoint: types_pb2.Savepoint) -> str:
    """The short name of a savepoint's kind: "EXPLICIT"."""
    from flowsnap.v1 import types_pb2

    return types_pb2.SavepointKind.Name(savepoint.kind).removeprefix("SAVEPOINT_KIND_")


def place(file: str, line: int) -> str:
    """Write "flow.py:12", or nothing where there is no line; the folder is that of the container and says little."""
    return f"{file.rpartition('/')[2]}:{line}" if file else ""


def savepoint_label(savepoint: types_pb2.Savepoint) -> str:
    """How messages call a savepoint: "savepoint 3 (with-fetched-data)"."""
    return f"savepoint {savepoint.number}" + (f" ({savepoint.name})" if savepoint.name else "")


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return units.iso(value.ToDatetime(UTC))
        return record(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        # A newer controller may send a value that this snapctl has no name for.
        return known.name.removeprefix(_enum_prefix(field.enum_type.name)) if known else str(value)
    return value


def _enum_prefix(enum_name: str) -> str:
    """EXECUTION_STATUS_ for ExecutionStatus."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", enum_name).upper() + "_"
