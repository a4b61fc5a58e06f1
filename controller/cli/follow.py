"""Following an execution: its log as it grows, and how it ended."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Container
from typing import TYPE_CHECKING

from controller.cli import exit_codes, printer, records
from controller.cli.errors import CliError
from controller.cli.exit_codes import ExitCode
from controller.cli.printer import Output, say

if TYPE_CHECKING:
    from flowsnap.v1 import types_pb2

    from controller.cli.client import Client

# How long a controller may be away (a restart) before a follower gives up.
PATIENCE_S = 30.0
RETRY_S = 0.5


class LogPrinter:
    """Prints log lines and knows the number of the last one, so that a reader can go on after a broken stream."""

    def __init__(self, output: Output, streams: Container[str], *, times: bool = False) -> None:
        """streams: the names of those to print; empty prints all."""
        self._output = output
        self._streams = streams
        self._times = times
        self.last_number = 0

    def read(self, client: Client, execution: str, *, follow: bool) -> None:
        """Print from where the last read ended; with follow, until the execution ended and its log is complete."""
        from flowsnap.v1 import control_pb2

        request = control_pb2.ReadLogRequest(execution=execution, after_number=self.last_number, follow=follow)
        for response in client.stream(client.executions.ReadLog, request):
            for line in response.lines:
                self.last_number = line.number
                if not self._streams or line.stream in self._streams:
                    self._print(line)
            sys.stdout.flush()

    def _print(self, line: types_pb2.LogLine) -> None:
        if self._output is Output.json:
            printer.json_line(records.record(line))
            return
        # A flow's own words stay as they are, the platform's are told apart.
        text = f"[flowsnap] {line.text}" if line.stream == "system" else line.text
        if self._times:
            moment = records.moment(line, "time")
            text = f"{moment.astimezone().isoformat(sep=' ', timespec='milliseconds') if moment else '-'}  {text}"
        printer.result(text)


def follow_log(client: Client, execution: types_pb2.Execution, log: LogPrinter) -> None:
    """Print the log until its end; survives a restart of the controller; Ctrl-C detaches with exit code 130."""
    gc.enable()
    away_since: float | None = None
    reached = log.last_number
    try:
        while True:
            try:
                return log.read(client, execution.id, follow=True)
            except CliError as error:
                now = time.monotonic()
                if log.last_number != reached or away_since is None:
                    reached, away_since = log.last_number, now
                if error.exit_code is not ExitCode.UNAVAILABLE or now - away_since > PATIENCE_S:
                    raise
                if now == away_since:
                    say("snapctl: the controller went away, waiting for it to come back; the execution is not affected")
                time.sleep(RETRY_S)
    except KeyboardInterrupt as error:
        raise CliError(
            f"detached, {execution.name} goes on: follow it again with `snapctl logs -f {execution.name}`, "
            f"end it with `snapctl cancel {execution.name}`",
            ExitCode.INTERRUPTED,
        ) from error


def how_it_ended(client: Client, execution_id: str) -> ExitCode:
    """Tell how an execution ended; returns the exit code for that. Raises CliError when it has not."""
    from flowsnap.v1 import control_pb2

    execution = client.call(
        client.executions.GetExecution, control_pb2.GetExecutionRequest(execution=execution_id)
    ).execution
    return tell_end(execution)


def tell_end(execution: types_pb2.Execution) -> ExitCode:
    """As how_it_ended, for an execution that was just read."""
    status = records.status(execution)
    if not status.startswith("ENDED"):
        raise CliError(
            f"the log ended although {execution.name} is {status}: look with `snapctl show {execution.name}`",
            ExitCode.FAILED_PRECONDITION,
        )
    say(f"{execution.name}: {status}" + (f": {execution.message.strip()}" if execution.message else ""))
    if status != "ENDED_SUCCESS" and execution.savepoint_count:
        say(f"Go back with `snapctl load {execution.name} --id NUMBER`; see `snapctl savepoints {execution.name}`.")
    return exit_codes.of_execution_status(status)
