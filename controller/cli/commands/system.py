"""Commands on the controller as a whole: info, gc."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import options, printer, records, units
from controller.cli.options import OutputOption
from controller.cli.printer import Column, Output

if TYPE_CHECKING:
    from flowsnap.v1 import control_pb2

app = options.new_app()


@app.command()
def info(ctx: typer.Context, output: OutputOption = Output.table) -> None:
    """Show the controller's version, folder, store size and counts, and the hosts that it starts containers on."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        response = client.call(client.system.GetSystemInfo, control_pb2.GetSystemInfoRequest(with_hosts=True))
    pairs = [
        ("Version", response.version),
        ("Data directory", response.data_dir),
        ("Process", str(response.pid)),
        ("Image", response.container_image),
        ("Store", units.size(response.store_bytes)),
        ("Executions", f"{response.executions}, {response.running} of them running or waiting"),
        ("Savepoints", str(response.savepoints)),
    ]

    def show() -> None:
        printer.fields(pairs)
        if response.hosts:
            printer.result("")
            _host_table(response.hosts)

    printer.emit(output, records.record(response), show)


@app.command()
def gc(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; change nothing.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Remove the savepoints that no rule keeps, and from the store what no savepoint needs.

    Safe while executions run.
    """
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    with connect(options.config(ctx)) as client, waiting("Collecting garbage"):
        response = client.call(client.system.CollectGarbage, control_pb2.CollectGarbageRequest(dry_run=dry_run))
    verb = "would free" if dry_run else "freed"
    removed = "would remove" if dry_run else "removed"
    lines = [
        f"{one.execution_name} ({one.execution_id}): {removed} {', '.join(units.ranges(one.numbers))}"
        for one in response.executions
    ]
    text = f"{verb} {units.size(response.removed_bytes)} in {response.removed_packs} packs"
    if response.removed_savepoints:
        text += f", with {response.removed_savepoints} savepoints that no rule keeps"
    printer.emit(output, records.record(response), lambda: printer.result("\n".join([*lines, text])))


def _host_table(hosts: Iterable[control_pb2.Host]) -> None:
    columns = (
        Column("HOST"),
        Column("STATE"),
        Column("ENGINE"),
        Column("DOCKER"),
        Column("KERNEL"),
        Column("ARCHITECTURE"),
        Column("CPUS", right=True),
        Column("MEMORY", right=True),
        Column("CONTAINERS", right=True),
        Column("EXECUTIONS", right=True),
    )
    hosts = list(hosts)
    rows = [
        (one.name, records.record(one)["state"], one.address, *(_host_numbers(one) if _ready(one) else ("-",) * 7))
        for one in hosts
    ]
    printer.table(columns, rows)
    for one in hosts:
        if one.problem:
            printer.say(f"{one.name}: {one.problem}")


def _ready(host: control_pb2.Host) -> bool:
    from flowsnap.v1 import control_pb2

    return host.state == control_pb2.HOST_STATE_READY


def _host_numbers(one: control_pb2.Host) -> tuple[str, ...]:
    return (
        one.engine_version,
        one.kernel,
        one.architecture,
        str(one.cpus),
        units.size(one.memory_bytes),
        str(one.containers),
        str(one.executions),
    )
