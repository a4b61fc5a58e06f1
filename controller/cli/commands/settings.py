"""The group setting: save, get, ls, rm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli import inputs, names, options, printer, records, units
from controller.cli.errors import usage_error
from controller.cli.options import OutputOption
from controller.cli.printer import Column, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import Client

app = options.new_app()
group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Named JSON values that all executions share.")
app.add_typer(group, name="setting")


def _all(client: Client, timeout_s: float | None = None) -> list[platform_pb2.Setting]:
    from flowsnap.v1 import platform_pb2

    found: list[platform_pb2.Setting] = []
    request = platform_pb2.ListSettingsRequest()
    while True:
        page = client.call(client.settings.ListSettings, request, timeout_s=timeout_s)
        found += page.settings
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


complete_setting = names.completer(lambda client, timeout_s: [(one.name, "") for one in _all(client, timeout_s)])

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, autocompletion=complete_setting, help="Its name.")
]


@group.command()
def save(
    ctx: typer.Context,
    name: NameArgument,
    value: Annotated[
        str | None,
        typer.Argument(metavar="[VALUE]", show_default=False, help="JSON when it parses as that, else text."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE.json", help="The value as JSON; - is standard input.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Create or replace a setting."""
    if (value is None) is (file is None):
        raise usage_error("give either the VALUE or --file")
    content: Any
    if file is not None:
        content = inputs.read_json(file, "value file")
    else:
        content = inputs.key_values([f"value={value}"], "VALUE")["value"]
    value_json = inputs.encoded(content, "the setting's value")

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        request = platform_pb2.SaveSettingRequest(name=name, value_json=value_json)
        client.call(client.settings.SaveSetting, request)
    printer.emit(output, {"name": name}, lambda: printer.result(name))


@group.command()
def get(ctx: typer.Context, name: NameArgument, output: OutputOption = Output.table) -> None:
    """Print a setting's value as JSON; with -o json, all that is known of it."""
    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = client.call(client.settings.GetSetting, platform_pb2.GetSettingRequest(name=name))
    value = records.json_value(found.value_json)
    document = {**records.record(found.setting), "value": value}
    printer.emit(output, document, lambda: printer.result(json.dumps(value, indent=2, ensure_ascii=False)))


@group.command()
def ls(ctx: typer.Context, output: OutputOption = Output.table) -> None:
    """List settings."""
    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = _all(client)
    printer.emit(output, {"settings": [records.record(one) for one in found]}, lambda: _table(found))


@group.command()
def rm(ctx: typer.Context, name: NameArgument, output: OutputOption = Output.table) -> None:
    """Remove a setting."""
    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        client.call(client.settings.DeleteSetting, platform_pb2.DeleteSettingRequest(name=name))
    printer.emit(output, {"name": name}, lambda: printer.result(name))


def _table(settings: Sequence[platform_pb2.Setting]) -> None:
    rows = [
        (one.name, units.size(one.size_bytes), units.ago(records.moment(one, "modified_at")), one.locked_by or "-")
        for one in settings
    ]
    columns = (Column("NAME", flexible=True), Column("SIZE", right=True), Column("CHANGED"), Column("LOCKED BY"))
    printer.table(columns, rows)
