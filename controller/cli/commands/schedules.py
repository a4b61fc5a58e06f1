"""The group schedule: save, ls, rm, run-now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import inputs, names, options, printer, records, units
from controller.cli.options import FlowFileOption, FlowOption, OutputOption
from controller.cli.printer import Column, Output, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import Client

app = options.new_app()
group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Flows that start at times.")
app.add_typer(group, name="schedule")

_MISSED = {"skip": "SKIP", "run-once": "RUN_ONCE", "run-all": "RUN_ALL"}


def _all(client: Client, timeout_s: float | None = None) -> Sequence[platform_pb2.Schedule]:
    from flowsnap.v1 import platform_pb2

    request = platform_pb2.ListSchedulesRequest()
    return client.call(client.schedules.ListSchedules, request, timeout_s=timeout_s).schedules


complete_schedule = names.completer(
    lambda client, timeout_s: [(one.name, one.flow_name) for one in _all(client, timeout_s)]
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, autocompletion=complete_schedule, help="Its name.")
]


@group.command()
def save(  # noqa: PLR0917 - the command line names them
    ctx: typer.Context,
    name: NameArgument,
    flow: FlowOption = "",
    file: FlowFileOption = None,
    cron: Annotated[
        str,
        typer.Option("--cron", metavar="LINE", help="Minute, hour, day of month, month, day of week: '30 6 * * 1-5'."),
    ] = "",
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Of --cron, such as Europe/Vienna; else UTC.")
    ] = "",
    every: Annotated[str, typer.Option("--every", metavar="DURATION", help="An interval instead, such as 90s.")] = "",
    missed: Annotated[
        str,
        typer.Option(
            "--missed",
            metavar="skip|run-once|run-all",
            help="What becomes of runs that were due while no controller ran.",
            autocompletion=lambda: list(_MISSED),
        ),
    ] = "run-once",
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it, but don't run it.")] = False,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="KEY=VALUE", help="A key of the input. Repeatable."),
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input-file", metavar="FILE.json", help="The input as JSON; - is standard input.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Create or replace a schedule. Its times count from now on."""
    if missed not in _MISSED:
        raise options.bad_choice("--missed", missed, _MISSED)
    flow_name, script = options.flow_source(flow, file)
    interval_s = units.parse_duration(every) if every else 0
    value = inputs.input_value(input_ or [], input_file)

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    schedule = platform_pb2.Schedule(
        name=name,
        flow_name=flow_name,
        script=script,
        input_value_json=value,
        cron=cron,
        timezone=timezone,
        interval_s=interval_s,
        missed=platform_pb2.MissedRuns.Value(f"MISSED_RUNS_{_MISSED[missed]}"),
        enabled=not disabled,
    )
    with connect(options.config(ctx)) as client:
        request = platform_pb2.SaveScheduleRequest(schedule=schedule)
        saved = client.call(client.schedules.SaveSchedule, request).schedule
    printer.emit(output, records.record(saved), lambda: printer.result(name))
    if output is Output.table and saved.enabled:
        say(f"Its next run is due at {units.iso(records.moment(saved, 'next_run_at'))}")


@group.command()
def ls(ctx: typer.Context, output: OutputOption = Output.table) -> None:
    """List schedules."""
    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = _all(client)
    printer.emit(output, {"schedules": [records.record(one) for one in found]}, lambda: _table(found))


@group.command()
def rm(ctx: typer.Context, name: NameArgument, output: OutputOption = Output.table) -> None:
    """Remove a schedule; what it started goes on."""
    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        client.call(client.schedules.DeleteSchedule, platform_pb2.DeleteScheduleRequest(name=name))
    printer.emit(output, {"name": name}, lambda: printer.result(name))


@group.command("run-now")
def run_now(ctx: typer.Context, name: NameArgument, output: OutputOption = Output.table) -> None:
    """Start its flow now, besides its times. Prints the execution's id."""
    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        execution = client.call(client.schedules.RunSchedule, platform_pb2.RunScheduleRequest(name=name)).execution
    printer.emit(output, records.record(execution), lambda: printer.result(execution.id))


def _table(schedules: Sequence[platform_pb2.Schedule]) -> None:
    rows = [
        (
            one.name,
            one.flow_name,
            f"{one.cron} {one.timezone}" if one.cron else f"every {one.interval_s}s",
            (units.iso(records.moment(one, "next_run_at")) or "-")[:19] if one.enabled else "disabled",
            units.ago(records.moment(one, "last_run_at")),
            printer.last_line(one.last_error) or one.last_execution_id or "-",
        )
        for one in schedules
    ]
    columns = (
        Column("NAME", flexible=True),
        Column("FLOW", flexible=True),
        Column("TIMES"),
        Column("NEXT (UTC)"),
        Column("LAST"),
        Column("LAST EXECUTION", flexible=True),
    )
    printer.table(columns, rows)
