"""What the scripts share, with commands of the test's own in place of the system's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

LIB = Path(__file__).parents[3] / "scripts" / "lib.sh"
# More than a pipe holds: who reads one line of it and goes away makes its writer fail.
LONG = "i=0; while [ $i -lt 5000 ]; do echo '  500 http://mirror.example/debian bookworm/main'; i=$((i+1)); done"


def _is_package(folder: Path, policy: str) -> bool:
    program = folder / "apt-cache"
    program.write_text(f"#!/bin/sh\n{policy}\n")
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", f". {LIB}; if is_package name; then echo yes; else echo no; fi"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip() == "yes"


@pytest.mark.parametrize("version", ["156.0.8078.108-1~deb12u1", "2:3.87.1-1"])
def test_package_is_known_when_its_policy_is_long(tmp_path: Path, version: str) -> None:
    assert _is_package(tmp_path, f"echo 'name:'; echo '  Candidate: {version}'; {LONG}")


@pytest.mark.parametrize("policy", ["echo 'name:'; echo '  Candidate: (none)'", "true", "exit 100"])
def test_package_is_unknown_when_no_list_has_a_candidate(tmp_path: Path, policy: str) -> None:
    assert not _is_package(tmp_path, policy)
