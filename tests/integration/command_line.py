"""snapctl as people run it, on the controller of a test."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from platform_under_test import Platform


@dataclass
class Result:
    """What a command line came to."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def snapctl(platform: Platform, *arguments: str, stdin: str = "") -> Result:
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from controller.cli.main import main; main()"),
            *("--data-dir", str(platform.data_dir), *arguments),
        ],
        input=stdin.encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())
