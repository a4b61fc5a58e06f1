"""`make bench` works: what it says is told in docs/performance.md, and judged by nobody here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_bench_measures_a_small_flow_beside_raw_criu() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--heaps", "0"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    lines = done.stdout.splitlines()
    (row,) = (line for line in lines if re.match(r" +0 \|", line))
    assert all(float(figure) > 0 for figure in row.split("|")[1:])
    assert any(re.fullmatch(r"snapctl load as a whole: \d+ ms", line) for line in lines)
