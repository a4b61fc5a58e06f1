"""A real controller with its page, and a real headless Chromium."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from browser_program import browser_program
from quiet_network import QuietNetwork
from site_under_test import Site, running_site

_ARTIFACTS = Path(__file__).parents[2] / "artifacts"
# A busy machine may take its time; nothing waits that long when all is well.
_PATIENCE_MS = 30_000


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("web")) as site:
        yield site


@pytest.fixture(scope="session")
def network() -> QuietNetwork:
    return QuietNetwork()


# Not longer: asyncio tests can't run while Playwright has its loop in this thread.
@pytest.fixture(scope="module")
def browser(network: QuietNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        # Tests run as root, where Chromium has no sandbox.
        program = network.program(browser_program(playwright), tmp_path_factory.mktemp("browser"))
        yield playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])


@pytest.fixture
def new_page(browser: Browser, network: QuietNetwork, site: Site, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes signed-in pages; what they say on their console is an error of the test."""
    contexts, said = [], []

    def made(at: Site = site, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": 1360, "height": 900}, **options)
        context.set_default_timeout(_PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        network.lead(int(at.address.rpartition(":")[2]))
        page.goto(at.link())
        page.wait_for_url("**/executions")
        return page

    made.said = said
    yield made
    if getattr(request.node, "failed", False):
        folder = _ARTIFACTS / request.node.name.replace("/", "_")
        folder.mkdir(parents=True, exist_ok=True)
        for at, context in enumerate(contexts):
            for page in context.pages:
                page.screenshot(path=folder / f"{at}.png", full_page=True)
    for context in contexts:
        context.close()
    # Refusals are answers, and requests are called off; the browser and htmx make a note of each.
    answers = ("Failed to load resource", "Response Status Error Code", "htmx:")
    assert not [text for text in said if not text.startswith(answers)]


@pytest.fixture
def page(new_page: Any) -> Page:
    return new_page()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.when == "call" and report.failed:
        item.failed = True  # type: ignore[attr-defined]
    return report
