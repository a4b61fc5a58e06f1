"""Commands on executions: ls, show, pause, resume, cancel, wait, rm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import options, printer, records, units
from controller.cli.completion import complete_execution
from controller.cli.errors import CliError, usage_error
from controller.cli.options import ExecutionArgument, OutputOption
from controller.cli.printer import Column, Output, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowsnap.v1 import control_pb2, types_pb2

app = options.new_app()

MAX_PAGE = 1000


def complete_status(incomplete: str) -> list[str]:
    """What --status takes, for the shell."""
    return [name for name in _choices() if name.startswith(incomplete)]


@app.command()
def ls(
    ctx: typer.Context,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            autocompletion=complete_status,
            help="Only with this status, such as running or ended (any end); repeatable.",
        ),
    ] = None,
    flow: Annotated[str, typer.Option("--flow", help="Only of the flow with this file name.")] = "",
    limit: Annotated[int, typer.Option("--limit", help="How many at most.")] = 50,
    all_: Annotated[bool, typer.Option("--all", "-a", help="As many as there are.")] = False,
    tree: Annotated[
        bool, typer.Option("--tree", help="Each below the one that started it, with the calls of connectors.")
    ] = False,
    output: OutputOption = Output.table,
) -> None:
    """List executions, newest first."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    if limit < 1:
        raise usage_error(f"--limit {limit} lists nothing: give a number from 1 on, or --all")
    statuses = _statuses(status or [])
    found: list[types_pb2.Execution] = []
    page_token = ""
    with connect(options.config(ctx)) as client:
        while True:
            response = client.call(
                client.executions.ListExecutions,
                control_pb2.ListExecutionsRequest(
                    statuses=statuses,
                    flow_name=flow,
                    page_size=MAX_PAGE if all_ else min(MAX_PAGE, limit - len(found)),
                    page_token=page_token,
                    with_tasks=tree,
                ),
            )
            found += response.executions
            page_token = response.next_page_token
            if not page_token or (not all_ and len(found) >= limit):
                break
    depths = {one.id: 0 for one in found}
    if tree:
        found, depths = _as_tree(found)
    printer.emit(output, {"executions": [records.record(one) for one in found]}, lambda: _table(found, depths))
    if page_token:
        say(f"There are more than these {len(found)}: see them with --all or a greater --limit.")


@app.command()
def show(
    ctx: typer.Context,
    execution: ExecutionArgument,
    script: Annotated[bool, typer.Option("--script", help="Print the flow's text as this execution runs it.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Show one execution: status, message, input, output, and what it started."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        response = client.call(client.executions.GetExecution, control_pb2.GetExecutionRequest(execution=execution))
        usage = client.call(
            client.executions.GetUsage, control_pb2.GetUsageRequest(execution=response.execution.id or execution)
        )
    if script and output is Output.table:
        printer.texts(response.script, records.flow_files(response.files))
        return
    document = {
        **records.record(response.execution),
        "script": response.script,
        "files": records.flow_files(response.files),
        "children": [records.record(child) for child in response.children],
        "usage": records.record(usage),
    }
    printer.emit(output, document, lambda: _fields(response.execution, response.children, usage))


@app.command()
def pause(ctx: typer.Context, execution: ExecutionArgument, output: OutputOption = Output.table) -> None:
    """Take a savepoint and freeze the process tree, until `resume`."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    with connect(options.config(ctx)) as client, waiting(f"Pausing {execution}"):
        response = client.call(client.executions.PauseExecution, control_pb2.PauseExecutionRequest(execution=execution))
    _changed(output, response.execution)


@app.command()
def resume(ctx: typer.Context, execution: ExecutionArgument, output: OutputOption = Output.table) -> None:
    """Let a paused execution go on."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    with connect(options.config(ctx)) as client, waiting(f"Resuming {execution}"):
        response = client.call(
            client.executions.ResumeExecution, control_pb2.ResumeExecutionRequest(execution=execution)
        )
    _changed(output, response.execution)


@app.command()
def cancel(
    ctx: typer.Context,
    execution: ExecutionArgument,
    reason: Annotated[str, typer.Option("--reason", help="Becomes the execution's message.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """End an execution after a last savepoint.

    It can still be loaded.
    """
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    with connect(options.config(ctx)) as client, waiting(f"Cancelling {execution}"):
        response = client.call(
            client.executions.CancelExecution,
            control_pb2.CancelExecutionRequest(execution=execution, reason=reason),
        )
    _changed(output, response.execution)


@app.command()
def wait(ctx: typer.Context, execution: ExecutionArgument, output: OutputOption = Output.table) -> None:
    """Wait until an execution has ended.

    Exits 0 (success), 10 (error) or 11 (cancelled) by how it ended.
    """
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.follow import tell_end
    from controller.cli.progress import waiting

    newest: types_pb2.Execution | None = None
    with connect(options.config(ctx)) as client, waiting(f"Waiting for {execution} to end"):
        for response in client.stream(
            client.executions.WatchExecution, control_pb2.WatchExecutionRequest(execution=execution)
        ):
            newest = response.execution
    if newest is None:
        raise CliError(f"the controller said nothing about {execution}: look with `snapctl show {execution}`")
    if output is Output.json:
        printer.json_document(records.record(newest))
    raise typer.Exit(tell_end(newest))


@app.command()
def rm(
    ctx: typer.Context,
    executions: Annotated[
        list[str],
        typer.Argument(
            metavar="EXECUTION...",
            autocompletion=complete_execution,
            show_default=False,
            help="Ids, prefixes of ids, or names.",
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Running ones too: they are killed.")] = False,
) -> None:
    """Remove ended executions with their savepoints, logs and connector calls. This can't be undone."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    failure: CliError | None = None
    with connect(options.config(ctx)) as client:
        for execution in executions:
            try:
                with waiting(f"Removing {execution}"):
                    client.call(
                        client.executions.DeleteExecution,
                        control_pb2.DeleteExecutionRequest(execution=execution, force=force),
                    )
            except CliError as error:
                # The others are tried all the same; the last failure is told by the caller, the ones before it here.
                if failure is not None:
                    say(f"snapctl: {failure}")
                failure = error
            else:
                printer.result(execution)
    if failure is not None:
        raise failure


def _choices() -> list[str]:
    from flowsnap.v1 import types_pb2

    known = [name.removeprefix("EXECUTION_STATUS_") for name, number in types_pb2.ExecutionStatus.items() if number]
    return ["ended", *(status.lower() for status in known)]


def _statuses(names: Sequence[str]) -> list[types_pb2.ExecutionStatus.ValueType]:
    from flowsnap.v1 import types_pb2

    known = {
        name.removeprefix("EXECUTION_STATUS_"): number for name, number in types_pb2.ExecutionStatus.items() if number
    }
    wanted: list[types_pb2.ExecutionStatus.ValueType] = []
    for name in names:
        found = [
            number
            for status, number in known.items()
            if name.upper() == status or (name.upper() == "ENDED" and status.startswith("ENDED_"))
        ]
        if not found:
            raise usage_error(f"there is no status {name!r}: choose from {', '.join(_choices())}")
        wanted += found
    return wanted


def _changed(output: Output, execution: types_pb2.Execution) -> None:
    printer.emit(
        output,
        records.record(execution),
        lambda: printer.result(f"{execution.name}: {records.status(execution)}"),
    )


def _as_tree(executions: Sequence[types_pb2.Execution]) -> tuple[list[types_pb2.Execution], dict[str, int]]:
    """Newest first, children behind their parent in the order of their start; with how deep each stands."""
    listed = {one.id for one in executions}
    children: dict[str, list[types_pb2.Execution]] = {}
    for one in reversed(executions):
        children.setdefault(one.parent_id if one.parent_id in listed else "", []).append(one)
    depths: dict[str, int] = {}
    ordered: list[types_pb2.Execution] = []
    # A stack and no recursion: the newest root is taken last from the reversed list.
    left = [(one, 0) for one in children.get("", ())]
    while left:
        one, depth = left.pop()
        depths[one.id] = depth
        ordered.append(one)
        left += [(child, depth + 1) for child in reversed(children.get(one.id, []))]
    return ordered, depths


def _table(executions: Sequence[types_pb2.Execution], depths: Mapping[str, int]) -> None:
    columns = (
        Column("ID"),
        Column("NAME", flexible=True),
        Column("STATUS"),
        Column("FLOW", flexible=True),
        Column("AGE", right=True),
        Column("SAVEPOINTS", right=True),
        Column("LAST CALL", flexible=True),
        Column("MESSAGE", flexible=True),
    )
    rows = [
        (
            one.id,
            f"{'  ' * (depths[one.id] - 1)}└ {one.name}" if depths[one.id] else one.name,
            records.standing(one),
            one.flow_name,
            units.ago(records.moment(one, "created_at")),
            str(one.savepoint_count),
            f"{one.last_call} {records.place(one.last_file, one.last_line)}".strip(),
            printer.last_line(one.message),
        )
        for one in executions
    ]
    printer.table(columns, rows)


def _fields(
    execution: types_pb2.Execution, children: Sequence[types_pb2.Execution], usage: control_pb2.GetUsageResponse
) -> None:
    pairs = [
        ("Id", execution.id),
        ("Name", execution.name),
        ("Status", records.status(execution) + (" (parked: without a container)" if execution.parked else "")),
        ("Message", execution.message.strip()),
        ("Flow", f"{execution.flow_name} (version {execution.flow_version[:12]})"),
        ("Parent", execution.parent_id),
        ("Forked from", _origin(execution)),
        ("Image", execution.container_image),
    ]
    for label, field in (("Created", "created_at"), ("Started", "started_at"), ("Ended", "ended_at")):
        moment = records.moment(execution, field)
        if moment is not None:
            local = moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
            pairs.append((label, f"{local} ({units.ago(moment)} ago)"))
    pairs += [
        ("Branch", f"{execution.branch} ({execution.load_count} loads)"),
        ("Recoveries", str(execution.recovery_count or "")),
        ("Retries", f"{execution.retry_count} of {execution.retry.retries}" if execution.HasField("retry") else ""),
        ("Savepoints", str(execution.savepoint_count)),
        ("Last call", f"{execution.last_call} {records.place(execution.last_file, execution.last_line)}".strip()),
        ("Used", _used(usage)),
        ("Input", _pretty(execution.input_value_json)),
        ("Output", _pretty(execution.output_value_json)),
        ("Children", "\n".join(_child(one) for one in children)),
    ]
    printer.fields(pairs)


def _used(usage: control_pb2.GetUsageResponse) -> str:
    if not usage.samples:
        return ""
    cpu_s = usage.cpu_us / 1_000_000
    return f"{units.size(usage.peak_memory_bytes)} of memory at most, {cpu_s:.1f} s of processor time"


def _child(one: types_pb2.Execution) -> str:
    # As wide as the longest name of an end.
    return f"{one.id}  {records.status(one):<15}  {one.name}"


def _origin(execution: types_pb2.Execution) -> str:
    origin = execution.forked_from
    if not origin.execution_id:
        return ""
    label = f"savepoint {origin.savepoint}" + (f" ({origin.name})" if origin.name else "")
    return f"{origin.execution_id}, {label}, as number {origin.index + 1}"


def _pretty(value: bytes) -> str:
    decoded = records.json_value(value)
    return "" if decoded is None else json.dumps(decoded, indent=2, ensure_ascii=False)
