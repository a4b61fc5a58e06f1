"""The command run: hand a flow to the controller, and follow it when asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from controller.cli import inputs, options, printer, records, sources, units
from controller.cli import keep as keeping
from controller.cli.completion import complete_flow
from controller.cli.errors import usage_error
from controller.cli.options import OutputOption
from controller.cli.printer import Output, say

app = options.new_app()

_INT32_MAX = 2**31 - 1


_COMMAND = "flowsnap.command"


class _RunCommand(TyperCommand):
    """Takes what stands behind -- as a command, which has options of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


@app.command(cls=_RunCommand)
def run(  # noqa: PLR0917 - the command line names them
    ctx: typer.Context,
    flow: Annotated[
        str | None,
        typer.Argument(
            metavar="FLOW.py|FOLDER/|NAME|-- COMMAND...",
            show_default=False,
            autocompletion=complete_flow,
            help="A script's file, a folder (with a slash), a pushed flow, or behind -- a command.",
        ),
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="KEY=VALUE",
            help="A key of the input; the value is JSON when it parses as that, else text. Repeatable.",
        ),
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input-file", metavar="FILE.json", help="The input as JSON; - is standard input.")
    ] = None,
    name: Annotated[str, typer.Option("--name", "-n", help="The execution's name; else made from the flow's.")] = "",
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Print the log until the end; exit 0, 10 (error) or 11 (cancelled)."),
    ] = False,
    image: Annotated[str, typer.Option("--image", help="Container image to run in, instead of the default.")] = "",
    memory: Annotated[str, typer.Option("--memory", metavar="SIZE", help="Memory limit, such as 512m.")] = "",
    pids: Annotated[
        int, typer.Option("--pids", metavar="N", show_default=False, help="Limit of processes and threads.")
    ] = 0,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="KEY=VALUE",
            help="Which savepoints are kept, such as newest=50; keys as of `retention set`. Repeatable.",
        ),
    ] = None,
    retries: Annotated[
        int, typer.Option("--retries", metavar="N", help="Load a savepoint so often before an error is an end.")
    ] = 0,
    retry_from: Annotated[
        str, typer.Option("--retry-from", metavar="latest|NAME", help="The savepoint that a retry loads.")
    ] = "latest",
    backoff: Annotated[
        str, typer.Option("--backoff", metavar="TIME", help="How long a retry waits, such as 10s; else no time.")
    ] = "",
    output: OutputOption = Output.table,
) -> None:
    """Run a script as an execution in a container of its own. Prints its id.

    Any other program runs as a command: `snapctl run -- bash backup.sh`; the script's file is sent along.
    """
    if not 0 <= pids <= _INT32_MAX:
        raise usage_error(f"--pids {pids} is no limit: give a number from 1 on, or leave it out for the default")
    memory_limit_bytes = units.parse_size(memory) if memory else 0
    rule = keeping.parse(keep) if keep else None
    if not 0 <= retries <= _INT32_MAX:
        raise usage_error(f"--retries {retries} is no number of retries: give one from 0 on")
    if not retries and (backoff or retry_from != "latest"):
        raise usage_error("--backoff and --retry-from say how to retry: give --retries, too")
    backoff_s = units.parse_duration(backoff) if backoff else 0
    pushed, source = _source(ctx, flow)
    value = inputs.input_value(input_ or [], input_file)

    from flowsnap.v1 import control_pb2, types_pb2

    from controller.cli.client import connect
    from controller.cli.follow import LogPrinter, follow_log, how_it_ended
    from controller.cli.progress import waiting

    with connect(options.config(ctx)) as client:
        with waiting(f"Starting {pushed or source.name}"):
            execution = client.call(
                client.executions.CreateExecution,
                control_pb2.CreateExecutionRequest(
                    flow=pushed,
                    script=source.script,
                    flow_name=source.name,
                    script_file=source.script_file,
                    files=[types_pb2.FlowFile(path=path, content=text) for path, text in source.files.items()],
                    input_value_json=value,
                    name=name,
                    container_image=image,
                    memory_limit_bytes=memory_limit_bytes,
                    pids_limit=pids,
                    keep=rule,
                    retry=types_pb2.RetryRule(retries=retries, savepoint=retry_from, backoff_s=backoff_s)
                    if retries
                    else None,
                ),
            ).execution
        if follow:
            say(f"Started {execution.name} ({execution.id})")
            follow_log(client, execution, LogPrinter(output, ()))
            raise typer.Exit(how_it_ended(client, execution.id))
    printer.emit(output, records.record(execution), lambda: printer.result(execution.id))
    if output is Output.table:
        say(f"Started {execution.name}: follow it with `snapctl logs -f {execution.name}`")


def _source(ctx: typer.Context, flow: str | None) -> tuple[str, sources.Source]:
    """The name of a pushed flow, or what is sent in its place."""
    command = ctx.meta.get(_COMMAND)
    if command is not None:
        if flow is not None:
            raise usage_error(f"{flow!r} stands before a command: give a flow, or a command behind --")
        return "", sources.from_command(command)
    if flow is None:
        raise usage_error("there is nothing to run: name a script's file, a pushed flow, or a command behind --")
    path = Path(flow)
    if path.is_file() or "/" in flow or path.suffix == ".py":
        return "", sources.from_path(path)
    return flow, sources.Source("", "", "")
