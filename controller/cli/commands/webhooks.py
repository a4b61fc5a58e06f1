"""The group webhook: save, ls, rm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli import names, options, printer, records
from controller.cli.options import FlowFileOption, FlowOption, OutputOption
from controller.cli.printer import Column, Output, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import Client

app = options.new_app()
group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Flows that start for HTTP requests.")
app.add_typer(group, name="webhook")


def _all(client: Client, timeout_s: float | None = None) -> Sequence[platform_pb2.Webhook]:
    from flowsnap.v1 import platform_pb2

    return client.call(client.webhooks.ListWebhooks, platform_pb2.ListWebhooksRequest(), timeout_s=timeout_s).webhooks


complete_webhook = names.completer(
    lambda client, timeout_s: [(one.name, one.flow_name) for one in _all(client, timeout_s)]
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, autocompletion=complete_webhook, help="Its name.")
]


@group.command()
def save(
    ctx: typer.Context,
    name: NameArgument,
    flow: FlowOption = "",
    file: FlowFileOption = None,
    sync: Annotated[
        bool, typer.Option("--sync", help="Answer when the execution has ended, with its output_value.response.")
    ] = False,
    timeout_s: Annotated[
        int, typer.Option("--timeout", metavar="SECONDS", show_default=False, help="Of --sync; 60 by default.")
    ] = 0,
    new_key: Annotated[bool, typer.Option("--new-key", help="Replace the key of one that exists.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Create or replace a webhook. A new key is printed here, once; only its hash is kept."""
    flow_name, script = options.flow_source(flow, file)

    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    webhook = platform_pb2.Webhook(name=name, flow_name=flow_name, script=script, synchronous=sync, timeout_s=timeout_s)
    with connect(options.config(ctx)) as client:
        request = platform_pb2.SaveWebhookRequest(webhook=webhook, new_key=new_key)
        saved = client.call(client.webhooks.SaveWebhook, request)
    printer.emit(output, {**records.record(saved.webhook), "key": saved.key or None}, lambda: _saved(saved))


@group.command()
def ls(ctx: typer.Context, output: OutputOption = Output.table) -> None:
    """List webhooks."""
    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        found = _all(client)
    printer.emit(output, {"webhooks": [records.record(one) for one in found]}, lambda: _table(found))


@group.command()
def rm(ctx: typer.Context, name: NameArgument, output: OutputOption = Output.table) -> None:
    """Remove a webhook; what it started goes on."""
    from flowsnap.v1 import platform_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        client.call(client.webhooks.DeleteWebhook, platform_pb2.DeleteWebhookRequest(name=name))
    printer.emit(output, {"name": name}, lambda: printer.result(name))


def _saved(saved: platform_pb2.SaveWebhookResponse) -> None:
    printer.fields([("name", saved.webhook.name), ("url", saved.webhook.url), ("key", saved.key)])
    if saved.key:
        say("The key is shown only now: send it as the header X-Flowsnap-Key, or as ?key= where there are no headers")
    else:
        say("Its key stays as it was; --new-key makes another")
    if not saved.webhook.url:
        say("This controller serves no HTTP: start it with --http-listen HOST:PORT")


def _table(webhooks: Sequence[platform_pb2.Webhook]) -> None:
    rows = [
        (one.name, one.flow_name, f"sync {one.timeout_s}s" if one.synchronous else "async", one.url or "-")
        for one in webhooks
    ]
    columns = (Column("NAME", flexible=True), Column("FLOW", flexible=True), Column("ANSWERS"), Column("URL"))
    printer.table(columns, rows)
