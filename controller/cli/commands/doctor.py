"""The command doctor: everything that this host needs, checked, with remedies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from controller import host_checks
from controller.cli import options, printer, units
from controller.cli.errors import CliError
from controller.cli.exit_codes import ExitCode
from controller.cli.options import OutputOption
from controller.cli.printer import Output
from controller.config import DEFAULT_IMAGE, Config
from controller.host_checks import Check, Level

app = options.new_app()


@app.command()
def doctor(
    ctx: typer.Context,
    image: Annotated[str, typer.Option("--image", help="The image to look for and try, instead of the default.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """Check this host, with a real dump and restore.

    Exits 1 when a check fails.
    """
    config = options.config(ctx)
    report = _Report(output)
    for name, check in host_checks.host_checks(config.data_dir.absolute()):
        report.run(name, check)
    default_image = DEFAULT_IMAGE

    def controller() -> Check:
        nonlocal default_image
        check, default_image = _controller(config)
        return check

    running = report.run("controller", controller).level is Level.ok
    for found in host_checks.docker_checks(image or default_image):
        report.add(found)
    report.run("trial", lambda: _trial(config, image) if running else _no_trial())
    report.finish()
    if report.failed:
        raise typer.Exit(ExitCode.FAILED)


class _Report:
    """Prints each check as it is done; as JSON all of them at the end."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._checks: list[Check] = []

    @property
    def failed(self) -> bool:
        return any(check.level is Level.fail for check in self._checks)

    def run(self, name: str, find_out: Callable[[], Check]) -> Check:
        from controller.cli.progress import waiting

        with waiting(f"Checking {name}"):
            check = find_out()
        self.add(check)
        return check

    def add(self, check: Check) -> None:
        self._checks.append(check)
        if self._output is Output.table:
            printer.result(
                f"{printer.styled(f'{check.level:<4}', check.level)}  {check.name}: {_indented(check.detail)}"
            )
            if check.remedy:
                printer.result(f"      -> {check.remedy}")

    def finish(self) -> None:
        if self._output is Output.json:
            printer.json_document({"ok": not self.failed, "checks": [asdict(check) for check in self._checks]})


def _indented(detail: str) -> str:
    """Several lines (a log's tail) below the first, each unable to steer the terminal."""
    return "\n      ".join(printer.cell(line) for line in detail.strip().splitlines())


def _controller(config: Config) -> tuple[Check, str]:
    """Whether it answers, and which image it starts executions in."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    try:
        with connect(config) as client:
            info = client.call(client.system.GetSystemInfo, control_pb2.GetSystemInfoRequest(), timeout_s=5)
    except CliError as error:
        remedy = (
            "start it with `snapctl up --detach`"
            if error.exit_code is ExitCode.UNAVAILABLE
            else "do as the message says, or choose another --data-dir"
        )
        return Check("controller", Level.fail, str(error), remedy), DEFAULT_IMAGE
    detail = f"version {info.version}, process {info.pid}, {info.running} of {info.executions} executions running"
    return Check("controller", Level.ok, detail), info.container_image or DEFAULT_IMAGE


def _trial(config: Config, image: str) -> Check:
    """A small process, dumped and restored for real."""
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    remedy = f"do as failed checks above say, if there are any; {config.log_file} has more"
    try:
        with connect(config) as client:
            trial = client.call(client.system.RunTrial, control_pb2.RunTrialRequest(container_image=image))
    except CliError as error:
        return Check("trial", Level.fail, str(error), remedy)
    if not trial.ok:
        return Check("trial", Level.fail, trial.detail, remedy)
    return Check(
        "trial",
        Level.ok,
        f"CRIU {trial.criu_version}: dump {units.milliseconds(trial.dump_us)} ms, "
        f"restore {units.milliseconds(trial.restore_us)} ms",
    )


def _no_trial() -> Check:
    return Check(
        "trial",
        Level.warn,
        "not tried: it needs a controller",
        "start one with `snapctl up --detach`, then run this again",
    )
