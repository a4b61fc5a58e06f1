"""The group connection: save, ls, rm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import inputs, options, printer, records
from controller.cli.errors import CliError, usage_error
from controller.cli.options import OutputOption
from controller.cli.printer import Column, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import types_pb2

app = options.new_app()
group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Named connections that flows use by name.")
app.add_typer(group, name="connection")


def complete_connection(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names of connections, for the shell; nothing when no controller answers."""
    from controller.cli.completion import TIMEOUT_S, connect_for

    try:
        from flowsnap.v1 import control_pb2

        with connect_for(ctx) as client:
            response = client.call(
                client.connections.ListConnections, control_pb2.ListConnectionsRequest(), timeout_s=TIMEOUT_S
            )
    except CliError:
        return []
    return [(one.name, one.connector_type) for one in response.connections if one.name.startswith(incomplete)]


NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, autocompletion=complete_connection, help="Its name.")
]


@group.command()
def save(
    ctx: typer.Context,
    name: NameArgument,
    type_: Annotated[str, typer.Option("--type", metavar="TYPE", help="The connector: REST, SQLITE, ...")],
    value: Annotated[
        list[str] | None,
        typer.Option(
            "--value", "-v", metavar="KEY=VALUE", help="JSON when the value parses as that, else text. Repeatable."
        ),
    ] = None,
    value_file: Annotated[
        Path | None,
        typer.Option("--value-file", metavar="FILE.json", help="A JSON object (keeps secrets off the command line)."),
    ] = None,
) -> None:
    """Create or replace a connection."""
    values = {} if value_file is None else inputs.read_json(value_file, "value file")
    if not isinstance(values, dict):
        raise usage_error(f"the value file {value_file} does not hold a JSON object")
    values |= inputs.key_values(value or [], "--value")
    value_json = inputs.encoded(values, "the connection's value")

    from flowsnap.v1 import control_pb2, types_pb2

    from controller.cli.client import connect

    connection = types_pb2.Connection(name=name, connector_type=type_, value_json=value_json)
    with connect(options.config(ctx)) as client:
        client.call(client.connections.SaveConnection, control_pb2.SaveConnectionRequest(connection=connection))
    printer.result(name)


@group.command()
def ls(ctx: typer.Context, output: OutputOption = Output.table) -> None:
    """List connections; secrets are masked."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = client.call(client.connections.ListConnections, control_pb2.ListConnectionsRequest()).connections
    printer.emit(output, {"connections": [records.record(one) for one in found]}, lambda: _table(found))


@group.command()
def rm(ctx: typer.Context, name: NameArgument) -> None:
    """Remove a connection; flows that use it fail from then on."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        client.call(client.connections.DeleteConnection, control_pb2.DeleteConnectionRequest(name=name))
    printer.result(name)


def _table(connections: Sequence[types_pb2.Connection]) -> None:
    rows = [
        (one.name, one.connector_type, json.dumps(records.json_value(one.value_json), ensure_ascii=False))
        for one in connections
    ]
    printer.table((Column("NAME"), Column("TYPE"), Column("VALUE", flexible=True)), rows)
