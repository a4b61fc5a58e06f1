"""Commands that start and end the controller: up, down."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from controller.cli import options, printer, process
from controller.cli.errors import CliError
from controller.cli.exit_codes import ExitCode
from controller.cli.options import OutputOption
from controller.cli.printer import Output, say

app = options.new_app()


@app.command()
def up(
    ctx: typer.Context,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Start it in the background; return when it is ready.")
    ] = False,
    image: Annotated[str, typer.Option("--image", help="Default container image of executions.")] = "",
    network: Annotated[str, typer.Option("--network", help="Network of executions: bridge, none or host.")] = "",
    extra: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTION...]", show_default=False, help="Passed on to `python -m controller`."),
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Start the controller on the data directory.

    It runs in the foreground unless --detach is given.
    """
    from controller.cli.client import check_socket_path
    from controller.cli.progress import waiting

    config = options.config(ctx)
    socket = check_socket_path(config)
    document = {"data_dir": str(config.data_dir.absolute()), "socket": str(socket)}
    if process.serving(config):
        pid = _running_pid(ctx)
        say(f"The controller runs already: process {pid}, socket {socket}")
        page = _say_page(ctx)
        printer.emit(output, {"pid": pid, **document, **page}, lambda: None)
        return
    command = process.command_line(config, image, network, extra or [])
    if not detach:
        say(
            f"flowsnap controller\n  data    {config.data_dir.absolute()}\n  socket  {socket}\n"
            f"  stop    Ctrl-C, or `snapctl down`"
        )
        # From here on this process is the controller, so signals and the exit status are its own.
        os.execv(command[0], [*command, "--print-link"])  # noqa: S606 - fixed but for what the user gave
    with waiting("Starting the controller"):
        pid = process.start_detached(command, config) or _running_pid(ctx)
    say(f"The controller is ready: socket {socket}, log {config.log_file}")
    page = _say_page(ctx)
    printer.emit(output, {"pid": pid, **document, **page}, lambda: printer.result(str(pid)))


@app.command()
def down(
    ctx: typer.Context,
    stop_executions: Annotated[
        bool, typer.Option("--stop-executions", help="End what runs first; else executions go on without it.")
    ] = False,
) -> None:
    """End the controller; `up` finds the executions again."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    config = options.config(ctx)
    try:
        pid = _running_pid(ctx)
    except CliError as error:
        if error.exit_code is not ExitCode.UNAVAILABLE:
            raise
        say(f"No controller runs on {config.data_dir.absolute()}")
        return
    with connect(config) as client, waiting("Ending the controller"):
        try:
            client.call(client.system.Shutdown, control_pb2.ShutdownRequest(stop_executions=stop_executions))
        except CliError as error:
            # It may be gone before its answer left; whether it is gone is seen next.
            if error.exit_code is not ExitCode.UNAVAILABLE:
                raise
        process.wait_until_ended(config, pid)
    say("The controller has ended")


def _running_pid(ctx: typer.Context) -> int:
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        return client.call(client.system.GetSystemInfo, control_pb2.GetSystemInfoRequest()).pid


def _say_page(ctx: typer.Context) -> dict[str, str]:
    """Where the web page is, with a link that signs in once; nothing where the controller serves no HTTP."""
    from flowsnap.v1 import web_pb2

    from controller.cli.client import connect

    with connect(options.config(ctx)) as client:
        try:
            response = client.call(client.web.CreateWebLink, web_pb2.CreateWebLinkRequest())
        except CliError as error:
            if error.exit_code is not ExitCode.FAILED_PRECONDITION:
                raise
            return {}
    say(f"The web page, for one sign-in within 15 minutes: {response.link}")
    return {"page": response.address}
