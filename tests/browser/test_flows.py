"""Flows: pushed as text, zip and folder, read, compared, run."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import httpx
from flowsnap.v1 import control_pb2 as pb
from platform_under_test import SUCCESS
from playwright.sync_api import Page, expect
from site_under_test import Site

XSS = "<img src=x onerror=alert(1)>\"'><script>alert(2)<_script>{{7*7}}"
SCRIPT = "import helper\n\ndef handler(system, this):\n    return this.success(helper.word(this.get('input_value')))\n"
HELPER = "def word(value):\n    return f'<b>{value}</b>'\n"


def push(page: Page) -> None:
    page.get_by_role("button", name="Push").click()


def test_a_pasted_script_gets_versions_that_are_compared_and_run(page: Page, site: Site) -> None:
    page.get_by_role("link", name="Flows", exact=True).click()
    page.get_by_role("link", name="Push a flow").first.click()
    page.get_by_label("Name", exact=True).fill(XSS)
    page.get_by_label("Script").fill("def handler(system, this)\n")
    push(page)
    expect(page.locator("#form-error")).to_contain_text(":1: expected ':'")
    expect(page.get_by_label("Name", exact=True)).to_have_value(XSS)
    page.get_by_label("Script").fill("def handler(system, this):\n    one = 1\n    return this.success('</b>1')\n")
    push(page)
    expect(page.locator("h1")).to_have_text(XSS)
    page.get_by_role("link", name="Push a version").click()
    page.get_by_label("Script").fill("def handler(system, this):\n    two = 2\n    return this.success('</b>1')\n")
    push(page)
    expect(page.locator(".page-head .status")).to_have_text("number 2, the newest")
    page.get_by_role("link", name="Compare number 2 with number 1").click()
    expect(page.locator("tr.removed")).to_contain_text("one = 1")
    expect(page.locator("tr.added")).to_contain_text("two = 2")
    expect(page.locator("tr.same")).to_have_count(2)
    page.get_by_role("link", name="Number 1", exact=True).click()
    expect(page.locator(".code")).to_contain_text("one = 1")
    page.get_by_label("Input").fill('{"a":}')
    page.locator("#run form").evaluate("form => form.noValidate = true")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#run-error")).to_contain_text("is no JSON")
    expect(page.get_by_label("Input")).to_have_value('{"a":}')
    page.get_by_label("Input").fill('{"a": 1}')
    page.get_by_role("button", name="Run").click()
    page.wait_for_url(re.compile("/executions/[0-9a-z]{14}$"))
    execution = page.url.rpartition("/")[2]
    assert site.platform.wait_ended(execution).status == SUCCESS
    first = site.platform.flows.ListFlows(pb.ListFlowsRequest(name=XSS)).flows[1]
    assert site.platform.get(execution).flow_version == first.version
    page.goto(f"{site.address}/flows?q=onerror")
    page.get_by_role("link", name=XSS).click()
    expect(page.get_by_label("Input")).to_have_value('{\n  "a": 1\n}')
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, go on").click()
    page.wait_for_url("**/flows")
    expect(page.get_by_role("link", name=XSS)).to_have_count(0)


def test_a_zip_and_a_folder_are_pushed_with_their_modules(page: Page, site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "greets"
    for path, text in {"main.py": SCRIPT, "helper.py": HELPER, "data/a b.txt": "x", ".git/config": "secret"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    page.goto(f"{site.address}/flows/push")
    page.get_by_label("From a folder").set_input_files(folder)
    push(page)
    expect(page.locator("h1")).to_have_text("greets")
    expect(page.locator("h2.mono")).to_have_text(["main.py", "data/a b.txt", "helper.py"])
    page.get_by_label("Input").fill('"you"')
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".notice").first).to_contain_text("<b>you</b>")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("greets/entry.py", SCRIPT)
        archive.writestr("greets/helper.py", HELPER + "\n# changed\n")
        archive.writestr("greets/__pycache__/helper.pyc", b"\0")
        archive.writestr("greets/raw.bin", b"\xff\0")
    (tmp_path / "greets.zip").write_bytes(packed.getvalue())
    page.goto(f"{site.address}/flows/push")
    page.get_by_label("From a file").set_input_files(tmp_path / "greets.zip")
    push(page)
    expect(page.locator(".page-head .status")).to_have_text("number 2, the newest")
    expect(page.locator("h2.mono")).to_have_text(["entry.py", "helper.py", "raw.bin"])
    page.get_by_role("link", name="Compare number 2 with number 1").click()
    expect(page.locator(".change")).to_have_text(["changed", "added", "removed"])
    expect(page.locator("tr.added")).to_have_count(2)
    cookies = {one["name"]: one["value"] for one in page.context.cookies()}
    address = f"{site.address}/flows/content?name=greets&path=raw.bin"
    answer = httpx.get(address, cookies=cookies)
    assert (answer.content, answer.headers["content-disposition"][:11]) == (b"\xff\0", "attachment;")


def test_what_is_no_flow_is_refused_with_words(page: Page, site: Site, tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("main.py", SCRIPT)
        archive.writestr("zeros", bytes(64 << 20))
    climbs = io.BytesIO()
    with zipfile.ZipFile(climbs, "w") as archive:
        archive.writestr("main.py", SCRIPT)
        archive.writestr("a/../../../etc/x", "x")
    page.goto(f"{site.address}/flows/push")
    page.get_by_label("Script").fill("kept")
    for content, words in (
        (b"PK nonsense", "is no zip that can be read"),
        (bomb.getvalue(), "bytes; a flow has at most"),
        (climbs.getvalue(), "no plain relative path"),
    ):
        (tmp_path / "x.zip").write_bytes(content)
        page.get_by_label("From a file").set_input_files(tmp_path / "x.zip")
        push(page)
        expect(page.locator("#form-error")).to_contain_text(words)
    expect(page.get_by_label("Script")).to_have_value("kept")
