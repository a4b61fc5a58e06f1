"""diff: what differs between two savepoints of an execution."""

from __future__ import annotations

from typing import Annotated

import typer

from controller.cli import options, printer, records
from controller.cli.options import ExecutionArgument, OutputOption
from controller.cli.printer import Output

app = options.new_app()


@app.command()
def diff(
    ctx: typer.Context,
    execution: ExecutionArgument,
    before: Annotated[str, options.savepoint_argument("A")],
    after: Annotated[str, options.savepoint_argument("B")],
    output: OutputOption = Output.table,
) -> None:
    """Show what differs between two savepoints: variables, files, memory, processes, the output value."""
    from flowsnap.v1 import control_pb2

    from controller.cli import inspection_text
    from controller.cli.client import connect

    one, other = map(options.savepoint_choice, (before, after))
    request = control_pb2.DiffSavepointsRequest(execution=execution, before=one, after=other)
    with connect(options.config(ctx)) as client:
        found = client.call(client.savepoints.DiffSavepoints, request).comparison
    printer.emit(output, records.record(found), lambda: inspection_text.comparison(found))
