"""Where the browser is that the tests drive."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import Playwright


def browser_program(playwright: Playwright) -> str:
    """Debian's headless shell, else what scripts/test had Playwright fetch, else a Chromium that is there."""
    # .../chromium-REVISION/PLATFORM/chrome; the headless shell has a folder beside it.
    own = Path(playwright.chromium.executable_path)
    folder = own.parents[2] / own.parents[1].name.replace("chromium-", "chromium_headless_shell-")
    found = [
        shutil.which("chromium-headless-shell"),
        *map(str, folder.glob("*/*headless?shell")),
        str(own) if own.exists() else None,
        # Not a snap: that sees neither the tests' folders nor their network.
        shutil.which("chromium", path="/usr/bin:/usr/local/bin"),
    ]
    path = next(filter(None, found), None)
    if path is None:
        raise FileNotFoundError(
            "there is no Chromium: run scripts/test once as root, or install chromium-headless-shell (Debian), or run"
            " .venv/bin/playwright install --with-deps chromium-headless-shell"
        )
    return path
