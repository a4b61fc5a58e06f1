"""The entry point of snapctl: runs the command, and ends the process with its exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

from controller.cli.exit_codes import ExitCode

_NAMES = ("snapctl", "flowsnap")


def main() -> NoReturn:
    """Never returns: leaves without the interpreter's teardown, which takes 20 ms and changes nothing any more."""
    # A command lives for a tenth of a second and makes hardly any cycles; following a log turns it on again.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        # A log line that the terminal's encoding lacks must not end `snapctl logs`.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except SystemExit as error:
        # Completion scripts leave this way.
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        sys.stdout.flush()
    except BrokenPipeError:
        status = ExitCode.BROKEN_PIPE
    sys.stderr.flush()
    os._exit(status)


def run(args: Sequence[str]) -> int:
    """Carry out one command line, without the program's name; returns the exit code."""
    import typer

    from controller.cli.app import app
    from controller.cli.printer import say

    name = Path(sys.argv[0]).name
    # Its base has no public name: Typer has moved these classes from click into itself.
    usage_error = cast("type[Exception]", typer.BadParameter.__base__)
    try:
        status = typer.main.get_command(app).main(
            args=list(args), prog_name=name if name in _NAMES else _NAMES[0], standalone_mode=False
        )
    except typer.Abort:
        say("snapctl: not confirmed, nothing was changed")
        return ExitCode.FAILED
    except usage_error as error:
        return _explain_usage(error)
    return status if isinstance(status, int) else ExitCode.OK


def _explain_usage(error: Any) -> int:
    """One line instead of the parser's three; error is a UsageError of click or of Typer's copy."""
    from controller.cli.printer import result, say

    ctx = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError" and ctx is not None:
        result(ctx.get_help())
        return ExitCode.USAGE
    hint = f" (see `{ctx.command_path} --help`)" if ctx is not None else ""
    say(f"snapctl: {error.format_message().rstrip('.')}{hint}")
    return ExitCode.USAGE
