"""The group lock: ls, release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import names, options, printer, records, units
from controller.cli.options import OutputOption
from controller.cli.printer import Column, Output, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import Client

app = options.new_app()
group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Locks that executions hold and wait for.")
app.add_typer(group, name="lock")


def _all(client: Client, timeout_s: float | None = None) -> Sequence[platform_pb2.Lock]:
    from flowsnap.v1 import platform_pb2

    return client.call(client.locks.ListLocks, platform_pb2.ListLocksRequest(), timeout_s=timeout_s).locks


complete_lock = names.completer(
    lambda client, timeout_s: [(one.name, one.execution_id) for one in _all(client, timeout_s)]
)


@group.command()
def ls(ctx: typer.Context, output: OutputOption = Output.table) -> None:
    """List locks, their holders, and how many wait."""
    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = _all(client)
    printer.emit(output, {"locks": [records.record(one) for one in found]}, lambda: _table(found))


@group.command()
def release(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", show_default=False, autocompletion=complete_lock, help="The lock's name.")
    ],
    output: OutputOption = Output.table,
) -> None:
    """Take a lock away from whoever holds it; who waits longest gets it."""
    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        holder = client.call(client.locks.ReleaseLock, platform_pb2.ReleaseLockRequest(name=name)).execution_id
    printer.emit(output, {"name": name, "execution_id": holder}, lambda: printer.result(name))
    if holder:
        say(f"Execution {holder}, which waited for it, holds it now")


def _table(locks: Sequence[platform_pb2.Lock]) -> None:
    rows = [
        (one.name, one.execution_id, units.ago(records.moment(one, "acquired_at")), str(len(one.waiting)))
        for one in locks
    ]
    columns = (Column("NAME", flexible=True), Column("HELD BY"), Column("SINCE"), Column("WAITING", right=True))
    printer.table(columns, rows)
