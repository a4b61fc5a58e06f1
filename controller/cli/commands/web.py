"""The command web: a link to the web page."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from controller.cli import options, printer, records
from controller.cli.options import OutputOption
from controller.cli.printer import Output, say

app = options.new_app()


@app.command()
def web(
    ctx: typer.Context,
    only_print: Annotated[bool, typer.Option("--print", help="Don't open a browser.")] = False,
    sign_out: Annotated[
        bool, typer.Option("--sign-out", help="Sign all browsers out, and take back unused links.")
    ] = False,
    output: OutputOption = Output.table,
) -> None:
    """Open the web page in a browser, signed in.

    The link that is printed signs in one browser, within 15 minutes.
    """
    from flowsnap.v1 import web_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        if sign_out:
            ended = client.call(client.web.EndWebSessions, web_pb2.EndWebSessionsRequest())
            text = f"signed out: {ended.ended} sessions and unused links"
            printer.emit(output, records.record(ended), lambda: printer.result(text))
            return
        response = client.call(client.web.CreateWebLink, web_pb2.CreateWebLinkRequest())
    printer.emit(output, records.record(response), lambda: printer.result(response.link))
    if not only_print and output is Output.table and _has_display():
        import webbrowser

        if not webbrowser.open(response.link):
            say("no browser could be started; open the link yourself")


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
