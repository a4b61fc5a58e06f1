"""The command fork: new executions from a savepoint of another one."""

from __future__ import annotations

from typing import Annotated

import typer

from controller.cli import inputs, options, printer, records
from controller.cli.completion import complete_savepoint
from controller.cli.errors import usage_error
from controller.cli.options import ExecutionArgument, OutputOption
from controller.cli.printer import Output, say

app = options.new_app()


@app.command()
def fork(
    ctx: typer.Context,
    execution: ExecutionArgument,
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="NUMBER|id=ID|name=NAME",
            autocompletion=complete_savepoint,
            help="The savepoint to begin from; without it the one that the execution stands on.",
        ),
    ] = "",
    count: Annotated[int, typer.Option("--count", "-c", metavar="N", help="How many.")] = 1,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="KEY=VALUE", help="Laid over the original's input. Repeatable."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", "-n", help="The fork's name; of several, each with its number behind it.")
    ] = "",
    output: OutputOption = Output.table,
) -> None:
    """Make new executions from a savepoint, which run beside the original. Prints their ids.

    The original goes on untouched. What a script has read of its input already stays as it was.
    """
    chosen = options.savepoint_choice(from_) if from_ else None
    given = inputs.input_value(input_ or [], None)

    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    if count < 1:
        raise usage_error(f"--count {count} makes nothing: give a number from 1 on")
    with connect(options.config(ctx)) as client, waiting(f"Forking {execution}"):
        response = client.call(
            client.executions.ForkExecution,
            control_pb2.ForkExecutionRequest(
                execution=execution, savepoint=chosen, count=count, input_json=given, name=name
            ),
        )
    printer.emit(
        output, records.record(response), lambda: printer.result("\n".join(one.id for one in response.executions))
    )
    if output is Output.table:
        names = ", ".join(one.name for one in response.executions)
        say(f"Forked from {records.savepoint_label(response.savepoint)}: {names}")
