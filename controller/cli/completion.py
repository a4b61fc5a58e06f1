"""What the shell offers for an execution or a savepoint: asked of the controller, silent when it does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.errors import CliError
from controller.config import DEFAULT_DATA_DIR, Config

if TYPE_CHECKING:
    from controller.cli.client import Client

# A shell that waits for a completion is a shell that hangs.
TIMEOUT_S = 1.0


def complete_execution(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names first, then ids, each with the flow and the status."""
    from flowsnap.v1 import control_pb2

    from controller.cli import records

    try:
        with connect_for(ctx) as client:
            response = client.call(
                client.executions.ListExecutions,
                control_pb2.ListExecutionsRequest(page_size=100),
                timeout_s=TIMEOUT_S,
            )
    except CliError:
        return []
    found: dict[str, str] = {}
    for field in ("name", "id"):
        for execution in response.executions:
            text = getattr(execution, field)
            if text.startswith(incomplete):
                # A name stands for its newest execution, which comes first.
                found.setdefault(text, f"{records.status(execution)} {execution.flow_name}")
    return list(found.items())


def complete_flow(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names of pushed flows, each with its newest number."""
    from flowsnap.v1 import control_pb2

    try:
        with connect_for(ctx) as client:
            response = client.call(client.flows.ListFlows, control_pb2.ListFlowsRequest(), timeout_s=TIMEOUT_S)
    except CliError:
        return []
    return [(flow.name, f"version {flow.number}") for flow in response.flows if flow.name.startswith(incomplete)]


def complete_savepoint_name(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names of the execution's savepoints, newest first."""
    return [(name, where) for _, name, where in _savepoints(ctx) if name and name.startswith(incomplete)]


def complete_savepoint_number(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Numbers of the execution's savepoints, newest first."""
    return [
        (number, f"{name} {where}".strip()) for number, name, where in _savepoints(ctx) if number.startswith(incomplete)
    ]


def complete_savepoint(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Numbers of the execution's savepoints and name=NAME, newest first."""
    found = []
    for number, name, where in _savepoints(ctx):
        found.append((number, f"{name} {where}".strip()))
        if name:
            found.append((f"name={name}", where))
    return [one for one in found if one[0].startswith(incomplete)]


def _savepoints(ctx: typer.Context) -> list[tuple[str, str, str]]:
    """Number, name and place of each, newest first; of each name only the newest counts."""
    from flowsnap.v1 import control_pb2

    from controller.cli import records

    # An option that still lacks its value stops the parser before it gives the arguments their names.
    execution = ctx.params.get("execution") or next(iter(ctx.args), "")
    if not execution:
        return []
    try:
        with connect_for(ctx) as client:
            response = client.call(
                client.savepoints.ListSavepoints,
                control_pb2.ListSavepointsRequest(execution=execution),
                timeout_s=TIMEOUT_S,
            )
    except CliError:
        return []
    seen: set[str] = set()
    found = []
    for savepoint in reversed(response.savepoints):
        name = "" if savepoint.name in seen else savepoint.name
        seen.add(name)
        where = f"{savepoint.call} {records.place(savepoint.file, savepoint.line)}".strip()
        found.append((str(savepoint.number), name, where))
    return found


def connect_for(ctx: typer.Context) -> Client:
    """A client for the data directory on the line that is being completed; CliError when there can't be one."""
    from controller.cli.client import connect

    # Completion parses the line but runs no callback, so there is no Config yet.
    return connect(Config(data_dir=Path(ctx.find_root().params.get("data_dir") or DEFAULT_DATA_DIR)))
