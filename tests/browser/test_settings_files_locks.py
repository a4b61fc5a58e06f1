"""What executions share: settings, files and locks, clicked through."""

from __future__ import annotations

from pathlib import Path

import httpx
from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc, types_pb2
from playwright.sync_api import Page, expect
from site_under_test import Site

XSS = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}} &amp; 100%?#/.."
WAITING_LOCK = types_pb2.EXECUTION_STATUS_WAITING_LOCK


def test_a_setting_is_made_changed_found_and_deleted(page: Page, site: Site) -> None:
    settings = platform_pb2_grpc.SettingServiceStub(site.platform.channel)
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="New setting").first.click()
    page.get_by_label("Name").fill(XSS)
    page.get_by_label("Value").fill('{"limit": 1,}')
    # Past the browser's own check: the server has a word, and what was typed stays.
    page.locator("form.card").evaluate("form => form.noValidate = true")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#form-error")).to_contain_text("is no JSON")
    expect(page.get_by_label("Name")).to_have_value(XSS)
    expect(page.get_by_label("Value")).to_have_value('{"limit": 1,}')
    page.get_by_label("Value").fill('{"limit": "</textarea><script>alert(3)</script>"}')
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/settings")
    page.locator("#q").fill("onerror")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    page.get_by_role("link", name=XSS).click()
    expect(page.get_by_label("Value")).to_have_value('{\n  "limit": "</textarea><script>alert(3)</script>"\n}')
    page.get_by_label("Value").fill("[1, 2.50]")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/settings")
    assert settings.GetSetting(pb.GetSettingRequest(name=XSS)).value_json == b"[1, 2.50]"
    page.goto(f"{site.address}/settings/new")
    page.get_by_label("Name").fill(XSS)
    page.get_by_label("Value").fill("0")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#form-error")).to_contain_text("already")
    page.goto(f"{site.address}/settings?q=onerror")
    page.locator("#list").get_by_role("button", name="Delete").click()
    expect(page.locator("#confirm")).to_contain_text(XSS)
    page.get_by_role("button", name="Back").click()
    expect(page.locator("#list tbody tr")).to_have_count(1)
    page.locator("#list").get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, go on").click()
    page.wait_for_url("**/settings")
    expect(page.get_by_role("link", name=XSS)).to_have_count(0)


def test_a_lock_is_seen_live_and_taken_away(page: Page, site: Site) -> None:
    settings = platform_pb2_grpc.SettingServiceStub(site.platform.channel)
    settings.SaveSetting(pb.SaveSettingRequest(name="deployment", value_json=b"1"))
    page.get_by_role("link", name="Locks").click()
    expect(page.locator("#list")).to_contain_text("No lock is held")
    script = "def handler(system, this):\n    system.setting('deployment').acquire()\n    this.sleep(3600)\n"
    holder = site.platform.run(script, file_name="holds.py")
    site.platform.wait_status(holder, types_pb2.EXECUTION_STATUS_SLEEPING)
    waits = site.platform.run(script, file_name="waits.py")
    site.platform.wait_status(waits, WAITING_LOCK)
    row = page.locator("#list tbody tr").filter(has_text="deployment")
    expect(row).to_contain_text(holder)
    expect(row.locator("ol li")).to_contain_text(waits)
    page.goto(f"{site.address}/settings/one?name=deployment")
    expect(page.locator(".banner")).to_contain_text(holder)
    page.get_by_label("Value").fill("2")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#form-error")).to_contain_text("is locked by execution")
    page.goto(f"{site.address}/locks")
    page.get_by_role("button", name="Take away").click()
    expect(page.locator("#confirm")).to_contain_text("who waits longest gets it")
    page.get_by_role("button", name="Yes, go on").click()
    expect(page.locator(".toast")).to_contain_text(f"was handed to execution {waits}")
    expect(row.locator("td").nth(1)).to_contain_text(waits)
    site.platform.wait_status(waits, types_pb2.EXECUTION_STATUS_SLEEPING)
    page.goto(f"{site.address}/settings/one?name=deployment")
    page.get_by_role("button", name="Take the lock away").click()
    page.get_by_role("button", name="Yes, go on").click()
    expect(page.locator("#state")).to_contain_text("nobody")
    page.get_by_label("Value").fill("2")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/settings")
    for execution in (holder, waits):
        site.platform.cancel(execution)


def test_files_are_uploaded_downloaded_and_never_run(page: Page, site: Site, tmp_path: Path) -> None:
    evil = b"<script>alert(1)</script>" + bytes(range(256)) * 2000
    (tmp_path / "page.html").write_bytes(evil)
    (tmp_path / "ü b.txt").write_text("second")
    page.get_by_role("link", name="Files").click()
    expect(page.locator("#list")).to_contain_text("There are no files yet")
    page.get_by_role("button", name="Upload").first.click()
    dialog = page.locator("#upload-dialog")
    dialog.get_by_label("Files").set_input_files([tmp_path / "page.html", tmp_path / "ü b.txt"])
    dialog.get_by_label("Name").fill("both")
    dialog.get_by_role("button", name="Upload").click()
    expect(dialog.locator("#upload-error")).to_contain_text("can't have one name")
    dialog.get_by_label("Name").fill("")
    dialog.get_by_role("button", name="Upload").click()
    expect(page.locator("#list tbody tr")).to_have_count(2)
    expect(dialog).not_to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="page.html", exact=True).click()
    assert download.value.suggested_filename == "page.html"
    assert Path(download.value.path()).read_bytes() == evil
    cookies = {one["name"]: one["value"] for one in page.context.cookies()}
    answer = httpx.get(f"{site.address}/files/content", params={"name": "page.html"}, cookies=cookies)
    assert answer.content == evil
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    page.get_by_role("button", name="Upload").first.click()
    dialog.get_by_label("Files").set_input_files(tmp_path / "page.html")
    dialog.get_by_label("Name").fill(XSS)
    dialog.get_by_role("button", name="Upload").click()
    row = page.locator("#list tbody tr").filter(has_text="onerror")
    with page.expect_download() as download:
        row.get_by_role("link").first.click()
    assert Path(download.value.path()).read_bytes() == evil
    for left in (2, 1, 0):
        page.locator("#list").get_by_role("button", name="Delete").first.click()
        page.get_by_role("button", name="Yes, go on").click()
        expect(page.locator("#list tbody tr")).to_have_count(left)
    assert httpx.get(f"{site.address}/files/content?name=page.html", cookies=cookies).status_code == 404
