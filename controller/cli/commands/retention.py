"""The group retention: set, show, ls, rm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import keep, options, printer, records
from controller.cli.completion import complete_execution, complete_flow
from controller.cli.errors import usage_error
from controller.cli.options import OutputOption
from controller.cli.printer import Column, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import retention_pb2

app = options.new_app()
group = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Which savepoints are kept: a rule by default, per flow, per run."
)
app.add_typer(group, name="retention")

FlowArgument = Annotated[
    str,
    typer.Argument(
        metavar="[FLOW]", show_default=False, autocompletion=complete_flow, help="Of all executions of this flow."
    ),
]
ExecutionOption = Annotated[
    str,
    typer.Option("--execution", "-e", metavar="EXECUTION", autocompletion=complete_execution, help="Of this one."),
]
DefaultOption = Annotated[bool, typer.Option("--default", help="Where flow and execution say nothing.")]


@group.command("set", epilog=keep.EXPLANATION)
def set_(
    ctx: typer.Context,
    rule: Annotated[
        list[str],
        typer.Argument(
            metavar="[FLOW] KEY=VALUE...", show_default=False, help="Whose rule, and what is kept, such as newest=50."
        ),
    ],
    execution: ExecutionOption = "",
    default: DefaultOption = False,
    output: OutputOption = Output.table,
) -> None:
    """Create or replace a rule. What it leaves out is left to the wider one: execution, flow, default, built in."""
    flow = "" if "=" in rule[0] else rule[0]
    given = keep.parse(rule[1:] if flow else rule)
    owner = _owner(flow, execution, default=default)

    from flowsnap.v1 import retention_pb2

    from controller.cli.client import connect

    retention = retention_pb2.Retention(owner=owner, rule=given)
    with connect(options.config(ctx)) as client:
        request = retention_pb2.SetRetentionRequest(retention=retention)
        saved = client.call(client.retention.SetRetention, request).retention
    document = {**_whose(saved), "rule": keep.values(saved.rule)}
    printer.emit(output, document, lambda: printer.result(flow or execution or "default"))


@group.command()
def show(
    ctx: typer.Context,
    flow: FlowArgument = "",
    execution: ExecutionOption = "",
    default: DefaultOption = False,
    output: OutputOption = Output.table,
) -> None:
    """Show what is kept, and which part of that its own rule says."""
    owner = _owner(flow, execution, default=default)

    from flowsnap.v1 import retention_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = client.call(client.retention.GetRetention, retention_pb2.GetRetentionRequest(owner=owner))
    own, effective = keep.values(found.retention.rule), keep.values(found.effective)
    document = {**_whose(found.retention), "rule": own, "effective": effective}
    rows = [
        (key, keep.shown(key, value), "own rule" if key in own else "wider rule") for key, value in effective.items()
    ]
    printer.emit(
        output,
        document,
        lambda: printer.table((Column("KEY"), Column("VALUE", right=True), Column("FROM")), rows),
    )


@group.command()
def ls(ctx: typer.Context, output: OutputOption = Output.table) -> None:
    """List the rules that were set."""
    from flowsnap.v1 import retention_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = client.call(client.retention.ListRetention, retention_pb2.ListRetentionRequest()).retentions
    document = {"retentions": [{**_whose(one), "rule": keep.values(one.rule)} for one in found]}
    printer.emit(output, document, lambda: _table(found))


@group.command()
def rm(
    ctx: typer.Context,
    flow: FlowArgument = "",
    execution: ExecutionOption = "",
    default: DefaultOption = False,
    output: OutputOption = Output.table,
) -> None:
    """Remove a rule; what it said is left to the wider one."""
    owner = _owner(flow, execution, default=default)

    from flowsnap.v1 import retention_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        client.call(client.retention.DeleteRetention, retention_pb2.DeleteRetentionRequest(owner=owner))
    document = _whose(retention_pb2.Retention(owner=owner))
    printer.emit(output, document, lambda: printer.result(flow or execution or "default"))


def _owner(flow: str, execution: str, *, default: bool) -> retention_pb2.RetentionOwner:
    from flowsnap.v1 import retention_pb2

    if bool(flow) + bool(execution) + default != 1:
        raise usage_error("whose rule? Name a FLOW, or give --execution EXECUTION or --default: one of them")
    if flow:
        return retention_pb2.RetentionOwner(flow=flow)
    return retention_pb2.RetentionOwner(execution=execution) if execution else retention_pb2.RetentionOwner()


def _whose(retention: retention_pb2.Retention) -> records.Record:
    kind = retention.owner.WhichOneof("owner")
    return {"scope": kind or "default", "subject": getattr(retention.owner, kind) if kind else ""}


def _table(retentions: Sequence[retention_pb2.Retention]) -> None:
    rows = [
        (
            whose["scope"],
            whose["subject"],
            " ".join(f"{key}={keep.shown(key, value)}" for key, value in keep.values(one.rule).items()),
        )
        for one in retentions
        for whose in [_whose(one)]
    ]
    printer.table((Column("SCOPE"), Column("SUBJECT"), Column("RULE", flexible=True)), rows)
