"""What stands beside a complete image in the spool until the controller has it in the store.

A call may go on before its savepoint is committed. When agent and controller die in between, the next controller finds
the record and makes up for the commit.
"""

from __future__ import annotations

import json
from pathlib import Path

from flowsnap.v1 import agent_pb2, types_pb2

_COPIED = ("name", "branch", "seq", "call", "file", "line", "function", "image_dir", "frozen_us", "dump_us", "last_seq")


def write_commit_record(folder: Path, request: agent_pb2.CommitSavepointRequest) -> None:
    """Beside the image's folder, with its name and `.json`; it appears whole or not at all."""
    fields: dict[str, object] = {name: getattr(request, name) for name in _COPIED}
    fields["kind"] = types_pb2.SavepointKind.Name(request.kind).removeprefix("SAVEPOINT_KIND_")
    fields["open_calls"] = list(request.open_calls)
    unfinished = folder.with_name(f".{folder.name}.json")
    unfinished.write_text(json.dumps(fields, separators=(",", ":")))
    unfinished.rename(folder.with_name(f"{folder.name}.json"))
