"""The command logs: an execution's log, whole or as it grows."""

from __future__ import annotations

from typing import Annotated

import typer

from controller.cli import options
from controller.cli.errors import usage_error
from controller.cli.options import ExecutionArgument, OutputOption
from controller.cli.printer import Output

app = options.new_app()

STREAMS = ("stdout", "stderr", "log", "system")


@app.command()
def logs(
    ctx: typer.Context,
    execution: ExecutionArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the execution has ended.")] = False,
    stream: Annotated[
        list[str] | None,
        typer.Option(
            "--stream",
            metavar="STREAM",
            help="Only this stream: stdout, stderr, log (this.log) or system (loads, warnings). Repeatable.",
            autocompletion=lambda: list(STREAMS),
        ),
    ] = None,
    times: Annotated[bool, typer.Option("--times", "-t", help="Begin each line with its time.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Print an execution's log; with -o json one document per line."""
    for name in stream or []:
        if name not in STREAMS:
            raise usage_error(f"there is no log stream {name!r}: choose from {', '.join(STREAMS)}")

    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.follow import LogPrinter, follow_log

    log = LogPrinter(output, stream or (), times=times)
    with connect(options.config(ctx)) as client:
        if not follow:
            log.read(client, execution, follow=False)
            return
        # By id from here on: while following, a newer execution may take the same name.
        found = client.call(
            client.executions.GetExecution, control_pb2.GetExecutionRequest(execution=execution)
        ).execution
        follow_log(client, found, log)
