"""The controller's process: how it is started, when it is ready, whether it has ended, what it said."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from controller.cli.client import Client
from controller.cli.errors import CliError
from controller.cli.exit_codes import ExitCode
from controller.config import Config

READY_TIMEOUT_S = 60.0
END_TIMEOUT_S = 60.0
POLL_S = 0.03
TAIL_LINES = 20
# A traceback and what led to it; more would hide the error.
TAIL_BYTES = 16 * 1024


def command_line(config: Config, image: str, network: str, extra: Sequence[str]) -> list[str]:
    """The controller as a command, with this snapctl's Python."""
    # -P: a folder called controller in the working directory is not ours.
    command = [sys.executable, "-P", "-m", "controller", "--data-dir", str(config.data_dir.absolute())]
    if image:
        command += ["--image", image]
    if network:
        command += ["--network", network]
    return [*command, *extra]


def serving(config: Config) -> bool:
    """Whether a controller serves this data directory now. Quick when none does: gRPC isn't imported for that."""
    path = config.control_socket.absolute()
    if not _accepts(path):
        return False
    with Client(path) as client:
        return client.serving()


def start_detached(command: Sequence[str], config: Config) -> int:
    """Start the controller in a session of its own, wait until it serves, return its pid.

    Its output goes to config.log_file. Raises CliError with what it wrote when it ends or isn't ready in
    READY_TIMEOUT_S; no process is left behind then.
    """
    try:
        for folder in (config.data_dir, config.log_file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = config.log_file.open("ab")
    except OSError as error:
        raise CliError(
            f"the data directory {config.data_dir} can't be used: {error.strerror} ({error.filename}); "
            "choose another with --data-dir, or run as a user who may write there",
            ExitCode.PERMISSION_DENIED,
        ) from error
    with log:
        log_start = log.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        exit_status = process.poll()
        # Somebody else's `up` may have been quicker: then our process ended, and that one serves.
        if serving(config):
            # It outlives this process; a Popen that believes otherwise warns when it is collected.
            process.returncode = 0
            return process.pid if exit_status is None else 0
        if exit_status is not None:
            raise CliError(f"the controller {_how(exit_status)} while it started:\n{_tail(config, log_start)}")
        time.sleep(POLL_S)
    process.kill()
    process.wait()
    raise CliError(f"the controller was not ready after {READY_TIMEOUT_S:.0f} s:\n{_tail(config, log_start)}")


def wait_until_ended(config: Config, pid: int) -> None:
    """Return when neither the process nor its socket is there any more; CliError after END_TIMEOUT_S."""
    deadline = time.monotonic() + END_TIMEOUT_S
    path = config.control_socket.absolute()
    while _accepts(path) or _alive(pid):
        if time.monotonic() > deadline:
            raise CliError(
                f"the controller (process {pid}) still runs {END_TIMEOUT_S:.0f} s after it was asked to end: "
                f"see {config.log_file}"
            )
        time.sleep(POLL_S)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _alive(pid: int) -> bool:
    """A zombie has ended: whoever started it just hasn't looked yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return False
    return state != "Z"


def _how(exit_status: int) -> str:
    if exit_status < 0:
        return f"was killed by {signal.Signals(-exit_status).name}"
    return f"ended with status {exit_status}"


def _tail(config: Config, start: int) -> str:
    """The last lines that the log got since the offset start, and where to find the rest."""
    with config.log_file.open("rb") as log:
        end = log.seek(0, os.SEEK_END)
        log.seek(max(start, end - TAIL_BYTES))
        lines = log.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    shown = "\n".join(f"  {line}" for line in lines) or "  (it said nothing)"
    return f"{shown}\nThe whole log is {config.log_file}; `snapctl doctor` checks this host."
