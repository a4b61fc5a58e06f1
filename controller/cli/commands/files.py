"""The group file: put, get, ls, rm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import inputs, names, options, printer, records, units
from controller.cli.errors import usage_error
from controller.cli.options import OutputOption
from controller.cli.printer import Column, Output, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import Client

app = options.new_app()
group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Named files that all executions share.")
app.add_typer(group, name="file")


def _all(client: Client, timeout_s: float | None = None) -> list[platform_pb2.File]:
    from flowsnap.v1 import platform_pb2

    found: list[platform_pb2.File] = []
    request = platform_pb2.ListFilesRequest()
    while True:
        page = client.call(client.files.ListFiles, request, timeout_s=timeout_s)
        found += page.files
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


complete_file = names.completer(
    lambda client, timeout_s: [(one.name, units.size(one.size_bytes)) for one in _all(client, timeout_s)]
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, autocompletion=complete_file, help="Its name.")
]


@group.command()
def put(
    ctx: typer.Context,
    name: NameArgument,
    path: Annotated[Path, typer.Argument(metavar="PATH", show_default=False, help="What to put; - is standard input.")],
    output: OutputOption = Output.table,
) -> None:
    """Create or replace a file from one on this host."""
    content = inputs.read_bytes(path, "file")

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        client.call(client.files.PutFile, platform_pb2.PutFileRequest(name=name, content=content))
    printer.emit(output, {"name": name}, lambda: printer.result(name))


@group.command()
def get(
    ctx: typer.Context,
    name: NameArgument,
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", show_default=False, help="Where to; else standard output.")
    ] = None,
) -> None:
    """Write a file's content to standard output, or into a file on this host."""
    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        content = client.call(client.files.GetFile, platform_pb2.GetFileRequest(name=name)).content
    if path is None or path == Path("-"):
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        path.write_bytes(content)
    except OSError as error:
        raise usage_error(f"the file {path} can't be written: {error.strerror}") from error
    say(f"Wrote {units.size(len(content))} to {path}")


@group.command()
def ls(ctx: typer.Context, output: OutputOption = Output.table) -> None:
    """List files."""
    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = _all(client)
    printer.emit(output, {"files": [records.record(one) for one in found]}, lambda: _table(found))


@group.command()
def rm(ctx: typer.Context, name: NameArgument, output: OutputOption = Output.table) -> None:
    """Remove a file."""
    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        client.call(client.files.DeleteFile, platform_pb2.DeleteFileRequest(name=name))
    printer.emit(output, {"name": name}, lambda: printer.result(name))


def _table(files: Sequence[platform_pb2.File]) -> None:
    rows = [(one.name, units.size(one.size_bytes), units.ago(records.moment(one, "modified_at"))) for one in files]
    printer.table((Column("NAME", flexible=True), Column("SIZE", right=True), Column("CHANGED")), rows)
