"""The acceptance story, clicked through: a flow fails, a savepoint is loaded by name, it succeeds; and back."""

from __future__ import annotations

import json
import re

import pytest
from platform_under_test import ERROR, SUCCESS
from playwright.sync_api import Page, expect
from site_under_test import Site, load_field

FAILING = """
def handler(system, this):
    data = [1, 2, 3]
    this.create_dump("with-fetched-data")
    this.set_output("attempts", this.get("load_count"))
    if not this.restored:
        raise RuntimeError("the remote side said 503")
    return this.success(f"all done with {data}")
"""
WAITING = """
def handler(system, this):
    this.create_dump("begin")
    print("waits now")
    this.sleep(3600)
    this.success("slept")
"""


@pytest.fixture
def failed(site: Site) -> str:
    execution = site.platform.run(FAILING, {"customer": 7}, file_name="upload.py")
    assert site.platform.wait_ended(execution).status == ERROR
    return execution


@pytest.fixture
def waiting(site: Site) -> str:
    execution = site.platform.run(WAITING, file_name="waits.py")
    site.platform.wait_until(lambda: "waits now" in site.platform.log(execution, "stdout"), execution)
    return execution


def open_execution(page: Page, site: Site, execution: str) -> None:
    page.goto(f"{site.address}/executions/{execution}")


def test_a_failed_flow_is_taken_back_by_name_succeeds_and_the_load_is_undone(
    page: Page, site: Site, failed: str
) -> None:
    page.get_by_role("link", name=re.compile("upload-")).first.click()
    expect(page.locator(".page-head .status")).to_have_text("Error")
    expect(page.locator(".notice.error")).to_contain_text("the remote side said 503")
    page.get_by_role("button", name="Load savepoint").click()
    field = load_field(page)
    expect(field).to_be_focused()
    field.fill("name=with-fetched-data")
    preview = page.locator("#load-preview")
    expect(preview).to_contain_text("Savepoint 1 “with-fetched-data”")
    expect(preview).to_contain_text(re.compile(r"\d savepoints? taken since falls? on the old branch"))
    expect(preview).to_contain_text("Settings, files and third parties stay")
    assert site.platform.get(failed).branch == 1
    page.get_by_role("button", name="OK").click()
    expect(page.locator("#load-dialog")).not_to_be_visible()
    expect(page.locator(".page-head .status")).to_have_text("Success")
    expect(page.locator(".notice").first).to_contain_text("all done with [1, 2, 3]")
    expect(page.locator(".banner")).to_contain_text("with-fetched-data")
    expect(page.locator("#log .mark")).to_contain_text("loaded savepoint 1 'with-fetched-data'")
    assert json.loads(site.platform.get(failed).output_value_json)["attempts"] == 1
    page.locator(".banner").get_by_role("button", name="Undo").click()
    expect(page.locator(".page-head .status")).to_have_text("Error")
    expect(page.locator(".banner")).to_have_count(0)
    undo = page.get_by_role("button", name="Undo load")
    expect(undo).to_contain_text("not now, no savepoint was loaded, or each load was taken back")


def test_a_wrong_name_is_told_in_the_dialog_and_the_input_stays(page: Page, site: Site, failed: str) -> None:
    open_execution(page, site, failed)
    page.get_by_role("button", name="Load savepoint").click()
    field = load_field(page)
    field.fill("name=no such")
    expect(page.locator("#load-preview")).to_contain_text("has no savepoint named 'no such'")
    page.get_by_role("button", name="OK").click()
    expect(page.locator("#load-error")).to_contain_text("the newest names are 'with-fetched-data'")
    expect(field).to_have_value("name=no such")
    expect(page.locator("#load-dialog")).to_be_visible()
    assert site.platform.get(failed).branch == 1


@pytest.mark.parametrize("form", ["id={id}", "{id}", "number=1", "id=1", "1", "with-fetched-data"])
def test_a_savepoint_is_known_by_id_number_and_name(page: Page, site: Site, failed: str, form: str) -> None:
    savepoint = site.platform.savepoints(failed)[0]
    open_execution(page, site, failed)
    page.get_by_role("button", name="Load savepoint").click()
    load_field(page).fill(form.format(id=savepoint.id))
    expect(page.locator("#load-preview")).to_contain_text("Savepoint 1 “with-fetched-data”")


def test_a_dot_fills_the_field_and_marks_its_line(page: Page, site: Site, failed: str) -> None:
    open_execution(page, site, failed)
    dot = page.locator("[data-dots] a.named")
    dot.hover()
    tip = page.locator("#tip")
    expect(tip).to_contain_text("with-fetched-data")
    expect(tip).to_contain_text("create_dump · upload.py:4")
    expect(tip).to_contain_text("frozen")
    dot.click()
    expect(page.locator("#savepoint-title")).to_contain_text("with-fetched-data")
    expect(page.locator(".code li.chosen")).to_contain_text("create_dump")
    expect(page.locator(".code li.present")).to_have_count(1)
    assert "sp=sp-" in page.url
    expect(page.locator(".inside tr").filter(has_text="data")).to_contain_text("[1, 2, 3]")
    page.get_by_role("button", name="Load this savepoint").click()
    expect(load_field(page)).to_have_value("name=with-fetched-data")


def test_savepoints_and_log_lines_that_a_load_leaves_are_named(page: Page, site: Site) -> None:
    script = """
    def handler(system, this):
        print("before")
        this.create_dump("one")
        print("after one", this.get("load_count"))
        this.create_dump("two")
        print("after two", this.get("load_count"))
        this.error("in the end")
    """
    execution = site.platform.run(script, file_name="leaves.py")
    site.platform.wait_ended(execution)
    open_execution(page, site, execution)
    page.get_by_role("button", name="Load savepoint").click()
    options = page.locator("#load-known option")
    expect(options.nth(1)).to_have_attribute("value", "name=one")
    expect(options.nth(2)).to_have_attribute("value", re.compile("id=sp-"))
    preview, left = page.locator("#load-preview"), page.locator(".lines-left .line span")
    for load_count in range(3):
        load_field(page).fill("name=one")
        expect(preview).to_contain_text("with “two”. They can still be loaded.")
        # On each branch those that it wrote: what other branches did was left before.
        expect(left.filter(has_text="after")).to_have_text([f"after one {load_count}", f"after two {load_count}"])
        expect(left.filter(has_text="before")).to_have_count(0)
        load_field(page).fill("name=two")
        expect(left.filter(has_text="after")).to_have_text([f"after two {load_count}"])
        load_field(page).fill("name=one")
        expect(preview).to_contain_text("with “two”")
        page.get_by_role("button", name="OK").click()
        expect(page.locator(".page-head .status")).to_have_text("Error")
        expect(page.locator(".facts").first).to_contain_text(f"Branch{load_count + 2}")
        expect(page.locator("#log .line.mark")).to_have_count(load_count + 1)
        expect(page.locator("#log")).to_contain_text(f"after two {load_count + 1}")
        site.platform.wait_ended(execution)
        page.get_by_role("button", name="Load savepoint").click()


def test_an_action_that_cannot_be_taken_says_why(page: Page, site: Site, failed: str) -> None:
    open_execution(page, site, failed)
    button = page.get_by_role("button", name=re.compile("Pause.*not now, it has ended with an error"))
    tip = page.locator("#tip")
    # As a finger or a mouse does, which ask nobody whether it is enabled.
    button.dispatch_event("click")
    expect(tip).to_have_text("Not now: it has ended with an error")
    page.keyboard.press("Escape")
    expect(tip).not_to_be_visible()
    button.focus()
    expect(tip).to_be_visible()
    button.blur()
    page.get_by_role("button", name="Run again").hover()
    expect(tip).not_to_be_visible()


def test_by_the_keyboard_alone(page: Page, site: Site, failed: str) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type(failed)
    link = page.locator(f"#x-{failed} td.name a")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/executions/{failed}")
    page.locator("[data-dots] a[tabindex='0']").focus()
    page.keyboard.press("Home")
    expect(page.locator("[data-dots] a.named")).to_be_focused()
    expect(page.locator("#tip")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#savepoint-title")).to_contain_text("with-fetched-data")
    button = page.get_by_role("button", name="Load savepoint")
    button.focus()
    page.keyboard.press("Enter")
    expect(load_field(page)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#load-dialog")).not_to_be_visible()
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#load-preview")).to_contain_text("with-fetched-data")
    page.keyboard.press("Enter")
    expect(page.locator(".page-head .status")).to_have_text("Success")


def test_a_running_flow_is_paused_resumed_saved_and_cancelled(page: Page, site: Site, waiting: str) -> None:
    open_execution(page, site, waiting)
    status = page.locator(".page-head .status")
    expect(status).to_have_text("Sleeping")
    expect(
        page.get_by_role("button", name=re.compile("Delete.*not now, it has not ended; cancel it first"))
    ).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(status).to_have_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(status).to_have_text("Sleeping")
    page.get_by_role("button", name="Savepoint now").click()
    page.get_by_role("dialog", name="Savepoint now").get_by_label("Name").fill("by hand")
    page.get_by_role("button", name="Take it").click()
    expect(page.locator(".savepoints")).to_contain_text("by hand")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Yes, go on").click()
    expect(status).to_have_text("Cancelled")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, go on").click()
    page.wait_for_url("**/executions")
    expect(page.locator(f"#x-{waiting}")).to_have_count(0)


def test_fork_makes_executions_beside(page: Page, site: Site, failed: str) -> None:
    open_execution(page, site, failed)
    page.get_by_role("button", name="Fork").first.click()
    dialog = page.locator("#fork-dialog")
    dialog.get_by_label("Savepoint").fill("name=nothing")
    dialog.get_by_role("button", name="Fork").click()
    expect(page.locator("#fork-error")).to_contain_text("has no savepoint named 'nothing'")
    dialog.get_by_label("Savepoint").fill("name=with-fetched-data")
    dialog.get_by_label("How many").fill("2")
    dialog.get_by_role("button", name="Fork").click()
    page.wait_for_url(f"**/executions?forks={failed}")
    expect(page.locator("#list tbody tr")).to_have_count(2)
    expect(page.locator("#list .status.ended_success")).to_have_count(2)
    assert site.platform.get(failed).status == ERROR


def test_a_pasted_script_runs_and_runs_again(page: Page, site: Site) -> None:
    page.get_by_role("link", name="New execution").first.click()
    page.get_by_label("Script").fill("def handler(system, this)\n    pass\n")
    page.get_by_label("File name").fill("pasted.py")
    page.get_by_label("Input").fill('{"n": 20}')
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".notice.error")).to_contain_text("pasted.py:1")
    expect(page.get_by_label("Input")).to_have_value('{"n": 20}')
    page.get_by_label("Script").fill(
        "def handler(system, this):\n    return this.success(this.get('input_value')['n'] + 1)\n"
    )
    page.get_by_role("button", name="Run").click()
    page.wait_for_url(re.compile("/executions/[0-9a-z]{14}$"))
    expect(page.locator(".page-head .status")).to_have_text("Success")
    expect(page.locator(".notice").first).to_contain_text("21")
    first = page.url
    page.get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: url != first)
    expect(page.locator(".page-head .status")).to_have_text("Success")
    again = page.url.rpartition("/")[2]
    assert site.platform.get(again).status == SUCCESS
    assert json.loads(site.platform.get(again).input_value_json) == {"n": 20}


def test_a_pushed_flow_is_chosen(page: Page, site: Site) -> None:
    site.platform.push("chosen", "def handler(system, this):\n    return this.success('by name')\n")
    page.goto(f"{site.address}/new")
    page.get_by_label("Flow", exact=True).select_option("chosen")
    expect(page.get_by_label("Script")).not_to_be_visible()
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".page-head .status")).to_have_text("Success")
    expect(page.locator(".notice").first).to_contain_text("by name")
