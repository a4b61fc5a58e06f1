"""Commands on savepoints: the list, and the group savepoint create, show, rm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import options, printer, records, savepoint_tree, units
from controller.cli.completion import complete_savepoint_name, complete_savepoint_number
from controller.cli.errors import usage_error
from controller.cli.options import ExecutionArgument, OptionalSavepointArgument, OutputOption
from controller.cli.printer import Column, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import control_pb2, types_pb2

app = options.new_app()
group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Take, show or remove savepoints.")
app.add_typer(group, name="savepoint")

IdOption = Annotated[
    str,
    typer.Option(
        "--id",
        metavar="NUMBER|ID",
        autocompletion=complete_savepoint_number,
        help="Its number within the execution, or its global id.",
    ),
]
NameOption = Annotated[
    str,
    typer.Option("--name", "-n", autocompletion=complete_savepoint_name, help="The newest savepoint of this name."),
]


@app.command()
def savepoints(
    ctx: typer.Context,
    execution: ExecutionArgument,
    tree: Annotated[bool, typer.Option("--tree", help="Each branch below the savepoint from which it began.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """List an execution's savepoints.

    * marks the one that the execution stands on: what happens now goes on from there.
    """
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        owner = client.call(
            client.executions.GetExecution, control_pb2.GetExecutionRequest(execution=execution)
        ).execution
        found = client.call(
            client.savepoints.ListSavepoints, control_pb2.ListSavepointsRequest(execution=owner.id)
        ).savepoints
    head = owner.head_savepoint_id
    printer.emit(
        output,
        {"savepoints": [{**records.record(one), "head": one.id == head} for one in found]},
        lambda: savepoint_tree.show(owner, found) if tree else _table(found, head),
    )


@group.command()
def create(
    ctx: typer.Context,
    execution: ExecutionArgument,
    name: Annotated[str, typer.Option("--name", "-n", help="A name to load it by.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """Take a savepoint of a running execution now, wherever it stands."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    with connect(options.config(ctx)) as client, waiting(f"Taking a savepoint of {execution}"):
        savepoint = client.call(
            client.savepoints.CreateSavepoint, control_pb2.CreateSavepointRequest(execution=execution, name=name)
        ).savepoint
    printer.emit(output, records.record(savepoint), lambda: printer.result(str(savepoint.number)))


@group.command()
def show(
    ctx: typer.Context,
    execution: ExecutionArgument,
    savepoint: OptionalSavepointArgument = "",
    id_: IdOption = "",
    name: NameOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show one savepoint and what it holds, without restoring it.

    Processes, the stack of every Python thread with the variables of the flow's own code, memory, open files and
    sockets, the flow's files. Values that are named like secrets are masked.
    """
    from flowsnap.v1 import control_pb2

    from controller.cli import inspection_text
    from controller.cli.client import connect

    chosen = selector(execution, id_, name, savepoint)
    with connect(options.config(ctx)) as client:
        found = client.call(
            client.savepoints.InspectSavepoint,
            control_pb2.InspectSavepointRequest(execution=execution, savepoint=chosen),
        ).inspection
    document = records.record(found)

    def show_all() -> None:
        _fields(found.savepoint)
        inspection_text.inspection(found)

    printer.emit(output, {**document.pop("savepoint"), **document}, show_all)


@group.command()
def rm(
    ctx: typer.Context,
    execution: ExecutionArgument,
    savepoints: Annotated[
        list[str],
        typer.Argument(
            metavar="SAVEPOINT...",
            show_default=False,
            autocompletion=complete_savepoint_number,
            help="Its number, id=ID, or name=NAME (the newest of that name).",
        ),
    ],
    output: OutputOption = Output.table,
) -> None:
    """Remove savepoints for good; `gc` gives the room back.

    Refused, for all of them, when one is in use: the newest on the present branch, and what an undo goes back to.
    """
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    chosen = [_named(one) for one in savepoints]
    with connect(options.config(ctx)) as client:
        removed = client.call(
            client.savepoints.DeleteSavepoints,
            control_pb2.DeleteSavepointsRequest(execution=execution, savepoints=chosen),
        ).savepoints
    document = {"savepoints": [records.record(one) for one in removed]}
    printer.emit(output, document, lambda: printer.result("\n".join(str(one.number) for one in removed)))


def _named(text: str) -> control_pb2.SavepointSelector:
    from flowsnap.v1 import control_pb2

    key, equals, value = text.partition("=")
    if equals and key == "name" and value:
        return control_pb2.SavepointSelector(name=value)
    return control_pb2.SavepointSelector(id=value if equals and key == "id" else text)


def selector(execution: str, id_: str, name: str, argument: str = "") -> control_pb2.SavepointSelector:
    """The savepoint that --id, --name or an argument chose; CliError unless exactly one of them is given."""
    from flowsnap.v1 import control_pb2

    if argument and (id_ or name):
        raise usage_error(f"{argument!r} and an option are given: choose one savepoint, by one of them")
    if argument:
        return options.savepoint_choice(argument)
    if bool(id_) == bool(name):
        how_many = "both --id and --name are given" if id_ else "no savepoint is given"
        raise usage_error(
            f"{how_many}: choose one by --id NUMBER or --name NAME; `snapctl savepoints {execution}` lists them"
        )
    return control_pb2.SavepointSelector(id=id_) if id_ else control_pb2.SavepointSelector(name=name)


def _table(savepoints: Sequence[types_pb2.Savepoint], head: str) -> None:
    columns = (
        Column(" "),
        Column("#", right=True),
        Column("NAME", flexible=True),
        Column("KIND"),
        Column("CALL", flexible=True),
        Column("WHERE", flexible=True),
        Column("AGE", right=True),
        Column("SIZE", right=True),
        Column("STORED", right=True),
        Column("FROZEN", right=True),
        Column("BRANCH", right=True),
    )
    rows = [
        (
            "*" if one.id == head else "",
            str(one.number),
            one.name,
            records.kind(one),
            one.call,
            records.place(one.file, one.line),
            units.ago(records.moment(one, "created_at")),
            units.size(one.raw_bytes),
            units.size(one.stored_bytes),
            f"{units.milliseconds(one.frozen_us)} ms",
            str(one.branch),
        )
        for one in savepoints
    ]
    printer.table(columns, rows)


def _fields(savepoint: types_pb2.Savepoint) -> None:
    moment = records.moment(savepoint, "created_at")
    where = records.place(savepoint.file, savepoint.line)
    printer.fields(
        [
            ("Number", str(savepoint.number)),
            ("Name", savepoint.name),
            ("Id", savepoint.id),
            ("Execution", savepoint.execution_id),
            ("Kind", records.kind(savepoint)),
            ("Call", savepoint.call),
            ("Where", f"{where} in {savepoint.function}" if savepoint.function else where),
            ("Created", f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z} ({units.ago(moment)} ago)" if moment else ""),
            ("Branch", str(savepoint.branch)),
            ("Parent", savepoint.parent_id),
            ("Size", f"{units.size(savepoint.raw_bytes)}, {units.size(savepoint.stored_bytes)} added to the store"),
            ("Frozen", f"{units.milliseconds(savepoint.frozen_us)} ms"),
            ("Dump", f"{units.milliseconds(savepoint.dump_us)} ms"),
        ]
    )
