"""The one error of the command line: a message for the user and the exit status that goes with it."""

from __future__ import annotations

from controller.cli.exit_codes import ExitCode


class CliError(Exception):
    """What failed, on what, and what to do next; printed as one line after "snapctl: "."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def usage_error(message: str) -> CliError:
    """The command line itself, or a file that it names, is wrong."""
    return CliError(message, ExitCode.USAGE)
