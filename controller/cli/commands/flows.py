"""The group flow: push, ls, show, rm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import options, printer, records, sources, units
from controller.cli.completion import complete_flow
from controller.cli.options import OutputOption
from controller.cli.printer import Column, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import types_pb2

app = options.new_app()
group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Flows that are run by name, with versions.")
app.add_typer(group, name="flow")

MAX_PAGE = 1000

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, autocompletion=complete_flow, help="Its name.")
]


@group.command()
def push(
    ctx: typer.Context,
    path: Annotated[
        Path, typer.Argument(metavar="FLOW.py|FOLDER", show_default=False, help="A script, or a folder of modules.")
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="Its name; else the file's or the folder's.")] = "",
    main: Annotated[str, typer.Option("--main", metavar="FILE.py", help="The folder's file with the handler.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """Make a script the newest version of a flow. Prints its name and number."""
    source = sources.from_path(path, main)

    from flowsnap.v1 import control_pb2, types_pb2

    from controller.cli.client import connect

    request = control_pb2.PushFlowRequest(
        name=name or source.name.removesuffix(".py"),
        script=source.script,
        script_file=source.script_file,
        files=[types_pb2.FlowFile(path=path, content=content) for path, content in source.files.items()],
    )
    with connect(options.config(ctx)) as client:
        flow = client.call(client.flows.PushFlow, request).flow
    printer.emit(output, records.record(flow), lambda: printer.result(f"{flow.name} {flow.number}"))


@group.command()
def ls(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", show_default=False, autocompletion=complete_flow, help="All versions of this one."
        ),
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """List flows with their newest versions, or the versions of one."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    found: list[types_pb2.Flow] = []
    page_token = ""
    with connect(options.config(ctx)) as client:
        while True:
            request = control_pb2.ListFlowsRequest(name=name or "", page_size=MAX_PAGE, page_token=page_token)
            response = client.call(client.flows.ListFlows, request)
            found += response.flows
            page_token = response.next_page_token
            if not page_token:
                break
    printer.emit(output, {"flows": [records.record(one) for one in found]}, lambda: _table(found))


@group.command()
def show(
    ctx: typer.Context,
    name: NameArgument,
    number: Annotated[int, typer.Option("--number", min=0, help="Which version; 0 is the newest.")] = 0,
    output: OutputOption = Output.table,
) -> None:
    """Print a flow's text, and that of the files beside it."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        response = client.call(client.flows.GetFlow, control_pb2.GetFlowRequest(name=name, number=number))
    document = {
        **records.record(response.flow),
        "script_file": response.script_file,
        "script": response.script,
        "files": records.flow_files(response.files),
    }
    printer.emit(output, document, lambda: printer.texts(response.script, records.flow_files(response.files)))


@group.command()
def rm(ctx: typer.Context, name: NameArgument, output: OutputOption = Output.table) -> None:
    """Forget a flow with all its versions; executions keep what they run."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        client.call(client.flows.DeleteFlow, control_pb2.DeleteFlowRequest(name=name))
    printer.emit(output, {"name": name}, lambda: printer.result(name))


def _table(flows: Sequence[types_pb2.Flow]) -> None:
    columns = (
        Column("NAME", flexible=True),
        Column("NUMBER", right=True),
        Column("VERSION"),
        Column("AGE", right=True),
    )
    rows = [
        (one.name, str(one.number), one.version[:12], units.ago(records.moment(one, "created_at"))) for one in flows
    ]
    printer.table(columns, rows)
