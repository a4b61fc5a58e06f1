"""Many at once, and what an execution's page has besides the acceptance story: log, files, processes, waits."""

from __future__ import annotations

import re

from flowsnap.v1 import types_pb2
from playwright.sync_api import Page, expect
from site_under_test import Site

XSS = "<img src=x onerror=alert(1)>"


def test_all_that_match_are_selected_and_deleted(page: Page, site: Site) -> None:
    ended = [
        site.platform.run("def handler(system, this):\n    pass\n", name=f"swept {number}", file_name="swept.py")
        for number in range(3)
    ]
    for execution in ended:
        site.platform.wait_ended(execution)
    page.goto(f"{site.address}/executions?flow=swept.py&q=swept")
    expect(page.locator("#list tbody tr")).to_have_count(3)
    expect(page.locator("[data-select-matching]")).to_have_count(0)
    page.locator("[data-select-all]").check()
    expect(page.locator("[data-bulk]")).to_contain_text("3 selected")
    page.locator("[data-bulk]").get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete 3 executions?")
    dialog.get_by_role("button", name="Go on").click()
    expect(page.locator(".toast")).to_contain_text("3 executions deleted")
    expect(page.locator("#list")).to_contain_text("No execution matches")


def test_text_is_found_in_the_log(page: Page, site: Site) -> None:
    script = f"""
def handler(system, this):
    for number in range(450):
        print("line", number, "even" if number % 2 == 0 else "odd")
    print({XSS!r})
"""
    execution = site.platform.run(script, file_name="talks.py")
    site.platform.wait_ended(execution)
    page.goto(f"{site.address}/executions/{execution}")
    field = page.get_by_label("Find in the log")
    found = page.locator("#log-found")
    field.fill("EVEN")
    expect(found.locator(".line")).to_have_count(200)
    expect(page.locator("#log")).not_to_be_visible()
    expect(found.locator("mark").last).to_have_text("even")
    found.get_by_role("button", name="Earlier lines").click()
    expect(found.locator(".line")).to_have_count(225)
    field.fill(XSS)
    expect(found.locator(".line")).to_have_count(1)
    expect(found.locator(".line mark")).to_have_text(XSS)
    field.fill("line 7 odd")
    expect(found.locator(".line")).to_have_count(1)
    field.fill("no such thing")
    expect(found).to_contain_text("No line has it")
    field.fill("")
    expect(found).not_to_be_visible()
    expect(page.locator("#log")).to_contain_text("line 449")


def test_files_beside_the_script_are_shown_and_downloaded(page: Page, site: Site) -> None:
    script = "def handler(system, this):\n    this.create_dump('one')\n    this.sleep(3600)\n"
    texts = {"page.html": f"<b>{XSS}</b>\n".encode(), "data/raw.bin": b"\xff\0", "helper.py": b"WORD = 1\n"}
    files = [types_pb2.FlowFile(path=path, content=content) for path, content in texts.items()]
    execution = site.platform.run(script, file_name="main.py", files=files)
    site.platform.wait_until(lambda: site.platform.savepoints(execution), execution)
    page.goto(f"{site.address}/executions/{execution}")
    expect(page.locator("h3.path.mono")).to_have_text(["main.py", "helper.py"])
    shown = page.locator("details.beside").filter(has_text="page.html")
    shown.locator("summary").click()
    expect(shown.locator(".code")).to_contain_text(f"<b>{XSS}</b>")
    # An update of the page leaves it open.
    page.get_by_role("button", name="Savepoint now").click()
    page.get_by_role("dialog", name="Savepoint now").get_by_label("Name").fill("a name far too long for its column")
    page.get_by_role("button", name="Take it").click()
    name = page.locator(".savepoints .flagged").filter(has_text="a name far")
    expect(name).to_have_attribute("title", "a name far too long for its column")
    assert name.bounding_box()["height"] < 30
    expect(shown.locator(".code")).to_be_visible()
    raw = page.locator("details.beside").filter(has_text="raw.bin")
    raw.locator("summary").click()
    expect(raw).to_contain_text("It is no text.")
    with page.expect_download() as download:
        raw.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes() == b"\xff\0"
    page.goto(f"{site.address}/executions/{execution}/file?path=../secret")
    expect(page.locator("body")).to_contain_text("has no file '../secret'")
    site.platform.cancel(execution)


def test_one_that_waits_without_a_container_says_so(page: Page, site: Site) -> None:
    script = "def handler(system, this):\n    this.create_dump('one')\n    this.sleep(3600)\n"
    execution = site.platform.run(script, name="parked", file_name="parks.py")
    page.goto(f"{site.address}/executions/{execution}")
    expect(page.locator(".page-head .standing")).to_have_text(
        "parked: container given back while waiting", timeout=60_000
    )
    page.goto(f"{site.address}/executions?flow=parks.py")
    expect(page.locator(f"#x-{execution} .state")).to_have_text("Sleeping parked")
    site.platform.cancel(execution)
    expect(page.locator(f"#x-{execution} .standing")).to_have_count(0)


def test_one_that_failed_and_is_tried_again_says_so(page: Page, site: Site) -> None:
    script = "def handler(system, this):\n    this.create_dump('one')\n    raise RuntimeError('503')\n"
    rule = types_pb2.RetryRule(retries=2, backoff_s=600)
    execution = site.platform.run(script, file_name="again.py", retry=rule)
    page.goto(f"{site.address}/executions/{execution}")
    expect(page.locator(".page-head .standing").last).to_contain_text("failed; tried again at")
    expect(page.locator(".notice").first).to_contain_text(re.compile("retry 1 of 2 in 600 s: .*503"))
    site.platform.cancel(execution)


def test_processes_of_a_savepoint_stand_in_a_tree(page: Page, site: Site) -> None:
    script = """
import subprocess

def handler(system, this):
    child = subprocess.Popen(["sh", "-c", "sleep 1000; :"])
    this.create_dump("two")
    this.sleep(3600)
"""
    execution = site.platform.run(script, file_name="tree.py")
    site.platform.wait_until(lambda: any(one.name == "two" for one in site.platform.savepoints(execution)), execution)
    page.goto(f"{site.address}/executions/{execution}")
    page.locator("[data-dots] a.named").click()
    rows = page.locator(".processes tbody tr")
    expect(rows.filter(has_text="sh -c").locator(".level").first).to_be_attached()
    expect(rows.filter(has_text="sh -c").locator("th")).to_contain_text(re.compile("child of [0-9]+"))
    expect(rows.first.locator(".level")).to_have_count(0)
    site.platform.cancel(execution)
