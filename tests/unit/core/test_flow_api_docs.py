"""docs/flow-api.md is what the docstrings say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_is_current_when_it_is_made_from_the_docstrings() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "flow-api-docs", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
