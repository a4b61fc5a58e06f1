"""The controller's own page: checks, store, what is kept, who is signed in."""

from __future__ import annotations

import os
from typing import Any

import pytest
from flowsnap.v1 import retention_pb2 as pb
from flowsnap.v1 import retention_pb2_grpc, types_pb2
from playwright.sync_api import Page, expect
from site_under_test import Site

XSS = "<img src=x onerror=alert(1)>\"'>.py"


@pytest.fixture(autouse=True)
def execution(site: Site) -> str:
    script = "def handler(system, this):\n    this.create_dump('kept')\n    return this.success('x')\n"
    made = site.platform.run(script, file_name=XSS, name=XSS)
    site.platform.wait_ended(made)
    return made


def test_host_store_and_versions_are_shown_and_a_dump_is_tried(page: Page, site: Site) -> None:
    page.get_by_role("link", name="System").click()
    expect(page.locator("#checks li").filter(has_text="kernel")).to_contain_text("Linux")
    engine = page.locator("#checks li").filter(has=page.get_by_text("Docker engine", exact=True))
    expect(engine.locator(".status")).to_have_text("ok")
    expect(page.locator("#store tbody tr")).not_to_have_count(0)
    expect(page.locator("[aria-labelledby=controller-title]")).to_contain_text(str(site.platform.data_dir))
    page.get_by_role("button", name="Try a dump and a restore").click()
    expect(page.locator("#trial .status")).to_have_text("ok")
    expect(page.locator("#trial")).to_contain_text("CRIU")


def test_hosts_are_listed_with_what_runs_on_them(page: Page, site: Site) -> None:
    # No wait of a call, for which it would give its container back.
    works = site.platform.run("import time\ndef handler(system, this):\n    time.sleep(600)\n", file_name="works.py")
    site.platform.wait_status(works, types_pb2.EXECUTION_STATUS_RUNNING)
    page.goto(f"{site.address}/system")
    row = page.get_by_role("region", name="Hosts").locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row.locator(".status")).to_have_text("Ready")
    expect(row).to_contain_text(os.uname().release)
    expect(row).to_contain_text(os.uname().machine)
    expect(row.locator("td[data-label=CPUs]")).to_have_text(str(os.cpu_count()))
    expect(row.locator("td[data-label=Executions]")).not_to_have_text("0")
    site.platform.cancel(works)


def test_garbage_is_told_before_it_is_collected(page: Page, site: Site) -> None:
    page.goto(f"{site.address}/system")
    page.get_by_role("button", name="What would go").click()
    expect(page.locator("#gc")).to_contain_text("Would free")
    page.get_by_role("button", name="Collect").click()
    page.get_by_role("button", name="Yes, go on").click()
    expect(page.locator("#gc")).to_contain_text("Freed")


def test_a_rule_is_set_and_removed(page: Page, site: Site) -> None:
    stub = retention_pb2_grpc.RetentionServiceStub(site.platform.channel)
    page.goto(f"{site.address}/system")
    page.get_by_text("Set a rule").click()
    page.get_by_label("Of", exact=True).select_option(XSS)
    page.get_by_label("Newest kept").fill("many")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#retention-error")).to_contain_text("'many' is no whole number")
    expect(page.get_by_label("Newest kept")).to_have_value("many")
    page.get_by_label("Newest kept").fill("7")
    page.get_by_role("button", name="Save").click()
    row = page.locator("#rules tr").filter(has_text="onerror")
    expect(row).to_contain_text("7")
    [rule] = stub.ListRetention(pb.ListRetentionRequest()).retentions
    assert (rule.owner.flow, rule.rule.newest, rule.rule.HasField("max_bytes")) == (XSS, 7, False)
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Yes, go on").click()
    expect(row).to_have_count(0)


def test_other_browsers_are_signed_out_one_by_one_or_all(page: Page, new_page: Any, site: Site) -> None:
    other = new_page()
    page.goto(f"{site.address}/system")
    rows = page.locator("#sessions tbody tr")
    before = rows.count()
    assert before >= 2
    expect(rows.filter(has_text="this browser")).to_have_count(1)
    while rows.get_by_role("button", name="Sign out").count():
        left = rows.count()
        rows.get_by_role("button", name="Sign out").first.click()
        expect(rows).to_have_count(left - 1)
    other.goto(f"{site.address}/system")
    other.wait_for_url("**/login")
    page.get_by_role("button", name="Sign all out").click()
    page.get_by_role("button", name="Yes, go on").click()
    page.wait_for_url("**/login")
