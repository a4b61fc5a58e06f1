"""Real controllers for the integration tests, and what is kept when one fails."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from platform_under_test import Platform, running_platform

_ARTIFACTS = Path(__file__).parents[2] / "artifacts"


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One controller for all tests that don't break it."""
    with running_platform(tmp_path_factory.mktemp("flowsnap")) as running:
        yield running


@pytest.fixture
def own_platform(tmp_path: Path) -> Iterator[Platform]:
    """A controller for one test alone."""
    with running_platform(tmp_path / "data") as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.when == "call" and report.failed:
        for name in ("platform", "own_platform"):
            found = getattr(item, "funcargs", {}).get(name)
            if isinstance(found, Platform):
                folder = _ARTIFACTS / item.name.replace("/", "_")
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(found.data_dir / "controller.log", folder)
    return report
