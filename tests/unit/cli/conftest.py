"""snapctl against a scripted controller: in this process for speed, as a process of its own where that matters."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_controller import FakeController

from controller.cli.main import run


@dataclass
class Result:
    """What a command line came to."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Snapctl = Callable[..., Result]


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """A shell's job in the background ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Short: a unix socket's path has 107 bytes, and pytest's folders use most of them."""
    folder = Path(tempfile.mkdtemp(prefix="cli-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def controller(data_dir: Path) -> Iterator[FakeController]:
    fake = FakeController(data_dir)
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def snapctl(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Snapctl:
    """Carry out one command line in this process."""

    def carry_out(*args: str) -> Result:
        capsys.readouterr()
        exit_code = run(["--data-dir", str(data_dir), *args])
        captured = capsys.readouterr()
        return Result(int(exit_code), captured.out, captured.err)

    return carry_out


@pytest.fixture
def command(data_dir: Path) -> list[str]:
    """The beginning of a snapctl command line that runs as a process of its own."""
    return [sys.executable, "-c", "from controller.cli.main import main; main()", "--data-dir", str(data_dir)]


@pytest.fixture
def snapctl_process(command: list[str]) -> Snapctl:
    """Carry out one command line in a process of its own, with pipes instead of a terminal."""

    def carry_out(*args: str, env: dict[str, str] | None = None, stdin: str = "") -> Result:
        done = subprocess.run(
            [*command, *args],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, **(env or {})},
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return carry_out
