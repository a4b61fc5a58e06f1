"""The group connection: save, ls, show, test, types, rm, rotate-key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli import inputs, names, options, printer, records
from controller.cli.errors import CliError, usage_error
from controller.cli.exit_codes import ExitCode
from controller.cli.options import OutputOption
from controller.cli.printer import Column, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import types_pb2

    from controller.cli.client import Client

app = options.new_app()
group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Named connections that flows use by name.")
app.add_typer(group, name="connection")

_OPERATOR = "operator"


def _all(client: Client, timeout_s: float | None = None) -> Sequence[types_pb2.Connection]:
    from flowsnap.v1 import control_pb2

    request = control_pb2.ListConnectionsRequest()
    return client.call(client.connections.ListConnections, request, timeout_s=timeout_s).connections


complete_connection = names.completer(
    lambda client, timeout_s: [(one.name, one.connector_type) for one in _all(client, timeout_s)]
)


NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, autocompletion=complete_connection, help="Its name.")
]


def _types(client: Client, timeout_s: float | None = None) -> Sequence[types_pb2.ConnectorType]:
    from flowsnap.v1 import control_pb2

    request = control_pb2.ListConnectorTypesRequest()
    return client.call(client.connections.ListConnectorTypes, request, timeout_s=timeout_s).types


complete_type = names.completer(
    lambda client, timeout_s: [(one.name, one.summary) for one in _types(client, timeout_s)]
)


@group.command()
def save(
    ctx: typer.Context,
    name: NameArgument,
    type_: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="TYPE",
            autocompletion=complete_type,
            help="The connector; `connection types` lists them.",
        ),
    ],
    value: Annotated[
        list[str] | None,
        typer.Option(
            "--value", "-v", metavar="KEY=VALUE", help="JSON when the value parses as that, else text. Repeatable."
        ),
    ] = None,
    value_file: Annotated[
        Path | None,
        typer.Option("--value-file", metavar="FILE.json", help="A JSON object ('-': standard input)."),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            metavar="KEY=TEXT|KEY=@FILE|KEY=-",
            help="Kept encrypted. From a file or ('-') standard input it stays off the command line. Repeatable.",
        ),
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Create or replace a connection."""
    values = {} if value_file is None else inputs.read_json(value_file, "value file")
    if not isinstance(values, dict):
        raise usage_error(f"the value file {value_file} does not hold a JSON object")
    values |= inputs.key_values(value or [], "--value")
    value_json = inputs.encoded(values, "the connection's value")
    secrets_json = inputs.encoded(inputs.secrets(secret or []), "the connection's secrets") if secret else b""

    from flowsnap.v1 import control_pb2, types_pb2

    from controller.cli.client import connect

    connection = types_pb2.Connection(name=name, connector_type=type_, value_json=value_json, secrets_json=secrets_json)
    with connect(options.config(ctx)) as client:
        client.call(client.connections.SaveConnection, control_pb2.SaveConnectionRequest(connection=connection))
    printer.emit(output, {"name": name}, lambda: printer.result(name))


@group.command()
def show(ctx: typer.Context, name: NameArgument, output: OutputOption = Output.table) -> None:
    """Show a connection; secrets are masked."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = client.call(client.connections.GetConnection, control_pb2.GetConnectionRequest(name=name)).connection
    printer.emit(output, records.record(found), lambda: _fields(found))


@group.command("test")
def try_(ctx: typer.Context, name: NameArgument, output: OutputOption = Output.table) -> None:
    """Make a harmless call through a connection, and say how long it took or what refused."""
    from flowsnap.v1 import control_pb2

    from controller.cli import units
    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        answer = client.call(client.connections.TestConnection, control_pb2.TestConnectionRequest(name=name))
    words = f"{name} works ({units.milliseconds(answer.duration_us)} ms)"
    printer.emit(output, {"name": name, "duration_us": answer.duration_us}, lambda: printer.result(words))


@group.command()
def types(
    ctx: typer.Context,
    type_: Annotated[
        str | None,
        typer.Argument(
            metavar="[TYPE]",
            show_default=False,
            autocompletion=complete_type,
            help="Its inputs; otherwise all types.",
        ),
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """List the types that connections can be of, or the inputs of one."""
    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = _types(client)
    if type_ is None:
        printer.emit(output, {"types": [records.record(one) for one in found]}, lambda: _types_table(found))
        return
    for one in found:
        if one.name == type_.upper():
            break
    else:
        known = ", ".join(one.name for one in found)
        raise CliError(f"there is no connection type {type_!r}; there are {known}", ExitCode.NOT_FOUND)
    printer.emit(output, records.record(one), lambda: _inputs_table(one))


@group.command("rotate-key")
def rotate_key(ctx: typer.Context, output: OutputOption = Output.table) -> None:
    """Encrypt the secrets of all connections under a new key, and forget the old one."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        answer = client.call(client.connections.RotateSecretsKey, control_pb2.RotateSecretsKeyRequest())
    words = f"secrets of {answer.connections} connections encrypted under a new key"
    printer.emit(output, {"connections": answer.connections}, lambda: printer.result(words))


@group.command()
def ls(ctx: typer.Context, output: OutputOption = Output.table) -> None:
    """List connections; secrets are masked."""
    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = _all(client)
    printer.emit(output, {"connections": [records.record(one) for one in found]}, lambda: _table(found))


@group.command()
def rm(ctx: typer.Context, name: NameArgument, output: OutputOption = Output.table) -> None:
    """Remove a connection; flows that use it fail from then on."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        client.call(client.connections.DeleteConnection, control_pb2.DeleteConnectionRequest(name=name))
    printer.emit(output, {"name": name}, lambda: printer.result(name))


def _table(connections: Sequence[types_pb2.Connection]) -> None:
    rows = [
        (one.name, one.connector_type, one.saved_by or _OPERATOR, json.dumps(_shown_value(one), ensure_ascii=False))
        for one in connections
    ]
    printer.table((Column("NAME"), Column("TYPE"), Column("SAVED BY"), Column("VALUE", flexible=True)), rows)


def _fields(connection: types_pb2.Connection) -> None:
    value = {key: _text(item) for key, item in _shown_value(connection).items()}
    head = [
        ("name", connection.name),
        ("type", connection.connector_type),
        ("saved by", connection.saved_by or _OPERATOR),
    ]
    printer.fields([*head, *value.items()])


def _shown_value(connection: types_pb2.Connection) -> dict[str, Any]:
    return {**(records.json_value(connection.value_json) or {}), **(records.json_value(connection.secrets_json) or {})}


def _types_table(types: Sequence[types_pb2.ConnectorType]) -> None:
    printer.table((Column("TYPE"), Column("WHAT", flexible=True)), [(one.name, one.summary) for one in types])


def _inputs_table(one: types_pb2.ConnectorType) -> None:
    printer.result(f"{one.name}: {one.summary}\n")
    columns = (Column("INPUT"), Column("TYPE"), Column("DEFAULT"), Column("HELP", flexible=True))
    rows = []
    for given in one.inputs:
        default = "required" if given.required else _text(records.json_value(given.default_json))
        text = given.help + (f" ({', '.join(given.choices)})" if given.choices else "")
        kind = "secret: " if given.secret else "place: " if given.place else ""
        rows.append((given.name, given.type, default, f"{kind}{text}"))
    printer.table(columns, rows)


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
