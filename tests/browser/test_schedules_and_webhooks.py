"""What starts flows by itself: schedules and webhooks, made, changed, tried and deleted."""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx
import pytest
from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc
from platform_under_test import SUCCESS
from playwright.sync_api import Page, expect
from site_under_test import Site

XSS = "<img src=x onerror=alert(1)>\"'><script>alert(2)<_script>{{7*7}}"
ECHO = "def handler(system, this):\n    return this.success(str(this.get('input_value')))\n"
ANSWERS = """
def handler(system, this):
    given = this.get("input_value")
    this.set_output("response", {"status": 201, "html": "<script>alert(3)</script>" + str(given["json"])})
"""


@pytest.fixture(autouse=True)
def flows(site: Site) -> None:
    site.platform.push("echo", ECHO)
    site.platform.push("answers", ANSWERS)


def test_a_schedule_is_made_previewed_run_and_disabled(page: Page, site: Site) -> None:
    page.get_by_role("link", name="Schedules").click()
    page.get_by_role("link", name="New schedule").first.click()
    page.get_by_label("Name", exact=True).fill(XSS)
    page.get_by_label("Flow", exact=True).select_option("echo")
    expect(page.locator("#preview li")).to_have_count(5)
    page.get_by_label("Cron line").fill("61 * * * *")
    expect(page.locator("#preview .problem")).to_contain_text("can't be read")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#form-error")).to_contain_text("can't be read")
    page.get_by_label("Cron line").fill("30 6 1 1 *")
    page.get_by_label("Time zone").fill("Mars/Base")
    expect(page.locator("#preview .problem")).to_contain_text("no time zone 'Mars/Base'")
    page.get_by_label("Time zone").fill("Europe/Vienna")
    expect(page.locator("#preview li").first).to_contain_text("-01-01 06:30:00 CET")
    page.get_by_label("Input").fill('"scheduled"')
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/schedules")
    row = page.locator("#list tbody tr").filter(has_text="onerror")
    expect(row).to_contain_text("30 6 1 1 * Europe/Vienna")
    row.get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("Disabled")
    row.get_by_role("button", name="Enable").click()
    expect(row.get_by_role("button", name="Disable")).to_be_visible()
    row.get_by_role("link", name=XSS).click()
    page.get_by_label("At intervals").check()
    page.get_by_label("Every").fill("x")
    expect(page.locator("#preview .problem")).to_contain_text("'x' is no whole number")
    page.get_by_label("Every").fill("90")
    page.get_by_label("Missed runs").select_option("SKIP")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/schedules")
    expect(row).to_contain_text("every 90 min")
    stub = platform_pb2_grpc.ScheduleServiceStub(site.platform.channel)
    [saved] = [one for one in stub.ListSchedules(pb.ListSchedulesRequest()).schedules if one.name == XSS]
    assert (saved.interval_s, saved.cron, saved.missed) == (5400, "", pb.MISSED_RUNS_SKIP)
    row.get_by_role("button", name="Run now").click()
    page.wait_for_url(re.compile("/executions/[0-9a-z]{14}$"))
    execution = page.url.rpartition("/")[2]
    assert site.platform.wait_ended(execution).status == SUCCESS
    assert site.platform.get(execution).message == "scheduled"
    page.goto(f"{site.address}/schedules")
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, go on").click()
    page.wait_for_url("**/schedules")
    expect(row).to_have_count(0)


def test_a_webhook_shows_its_key_once_and_answers_a_test(page: Page, site: Site) -> None:
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_role("link", name="New webhook").first.click()
    page.get_by_label("Name", exact=True).fill("a/b")
    page.get_by_label("Flow", exact=True).select_option("answers")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#form-error")).to_contain_text("leave out the slash")
    expect(page.get_by_label("Name", exact=True)).to_have_value("a/b")
    page.get_by_label("Name", exact=True).fill(XSS)
    page.get_by_label("Answer with the result").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".key")).to_contain_text("The key is shown this once")
    key = page.locator("#key").inner_text()
    address = f"{site.address}/webhook/{quote(XSS, safe='')}"
    expect(page.locator("#address")).to_have_text(address)
    called = httpx.post(address, json={"n": 1}, headers={"X-Flowsnap-Key": key}, timeout=60)
    assert (called.status_code, called.text) == (201, "<script>alert(3)</script>{'n': 1}")
    page.get_by_label("JSON body").fill('{"n": 2}')
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#test-result")).to_contain_text("<script>alert(3)</script>{'n': 2}")
    expect(page.locator("#test-result .status")).to_have_text("201")
    page.goto(f"{site.address}/webhooks")
    page.get_by_role("link", name=XSS).click()
    expect(page.locator("h1")).to_have_text(XSS)
    assert key not in page.content()
    page.get_by_role("button", name="New key").click()
    page.get_by_role("button", name="Yes, go on").click()
    expect(page.locator("#key")).not_to_have_text(key)
    assert httpx.post(address, headers={"X-Flowsnap-Key": key}).status_code == 403
    page.get_by_label("Answer with the result").uncheck()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/webhooks")
    row = page.locator("#list tbody tr").filter(has_text="onerror")
    expect(row).to_contain_text("at once")
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, go on").click()
    expect(row).to_have_count(0)
    assert httpx.post(address, headers={"X-Flowsnap-Key": key}).status_code == 404
