"""Commands that take an execution back and forth: load, undo."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import options, printer, records, units
from controller.cli.commands.savepoints import IdOption, NameOption, selector
from controller.cli.options import ExecutionArgument, OutputOption
from controller.cli.printer import Output, say

if TYPE_CHECKING:
    from flowsnap.v1 import control_pb2

app = options.new_app()


@app.command()
def load(
    ctx: typer.Context,
    execution: ExecutionArgument,
    id_: IdOption = "",
    name: NameOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Bring an execution back to one of its savepoints.

    `undo` takes it back.
    On a terminal it shows what will happen and asks first, unless -y is given. Without a terminal it does not ask.
    """
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    request = control_pb2.LoadSavepointRequest(
        execution=execution, savepoint=selector(execution, id_, name), dry_run=True
    )
    with connect(options.config(ctx)) as client:
        if dry_run or (not yes and sys.stdin.isatty() and sys.stderr.isatty()):
            with waiting("Verifying the savepoint"):
                plan = client.call(client.savepoints.LoadSavepoint, request)
            if dry_run:
                printer.emit(output, records.record(plan), lambda: printer.result(_plan(plan)))
                return
            say(_plan(plan))
            typer.confirm("Load it?", abort=True, err=True)
            # What was agreed to is this savepoint, even if a newer one has taken its name meanwhile.
            request.savepoint.id = plan.savepoint.id
        request.dry_run = False
        with waiting(f"Loading {execution}"):
            response = client.call(client.savepoints.LoadSavepoint, request)
    printer.emit(output, records.record(response), lambda: printer.result(_loaded(response)))
    if output is Output.table:
        say(f"Take it back with `snapctl undo {response.execution.name}`")


@app.command()
def undo(ctx: typer.Context, execution: ExecutionArgument, output: OutputOption = Output.table) -> None:
    """Take back the newest load that was not undone yet."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    with connect(options.config(ctx)) as client, waiting(f"Taking back the load of {execution}"):
        response = client.call(client.savepoints.UndoLoad, control_pb2.UndoLoadRequest(execution=execution))
    printer.emit(output, records.record(response), lambda: printer.result(_undone(response)))


def _plan(plan: control_pb2.LoadSavepointResponse) -> str:
    """What a load will do, as several lines."""
    name, savepoint = plan.execution.name, plan.savepoint
    moment = records.moment(savepoint, "created_at")
    at = " ".join(part for part in (savepoint.call, records.place(savepoint.file, savepoint.line)) if part)
    first = f"{name} ({records.status(plan.execution)}) goes back to {records.savepoint_label(savepoint)}"
    lines = [f"{first}{f', at {at}' if at else ''}, taken {units.ago(moment)} ago."]
    if plan.left_behind:
        lines.append(f"  Left behind: {_count(plan.left_behind, 'newer savepoint')}, which can still be loaded.")
    if plan.repeated_calls:
        lines.append(f"  Carried out again: {', '.join(plan.repeated_calls)}.")
    lines.append(
        "  Stay as they are: settings, files, child executions, messages, locks, third-party systems, the log."
    )
    return "\n".join(lines)


def _loaded(response: control_pb2.LoadSavepointResponse) -> str:
    text = (
        f"{response.execution.name} is back at {records.savepoint_label(response.savepoint)}, "
        f"after {units.milliseconds(response.total_us)} ms (restore {units.milliseconds(response.restore_us)} ms)"
    )
    if response.left_behind:
        text += f"; {_count(response.left_behind, 'newer savepoint')} left behind"
    if response.repeated_calls:
        text += f"; carried out again: {', '.join(response.repeated_calls)}"
    return text


def _undone(response: control_pb2.UndoLoadResponse) -> str:
    now = (
        f"stands at {records.savepoint_label(response.savepoint)}"
        if response.HasField("savepoint")
        else f"is {records.status(response.execution)} again"
    )
    return f"{response.execution.name} {now}; the load of {records.savepoint_label(response.undone)} was taken back"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
