"""What must never happen: text that becomes code, input that an update takes away, a page that stands still."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from platform_under_test import SUCCESS
from playwright.sync_api import Page, expect
from site_under_test import Site, load_field

XSS = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}</textarea></svg>"
HOSTILE = f"""
TEXT = {XSS!r}

def handler(system, this):
    value = TEXT  # {XSS}
    this.save(name=TEXT)
    this.create_dump(TEXT)
    print(TEXT)
    this.log(message=TEXT)
    this.set_output(TEXT, TEXT)
    this.error(TEXT)
"""


def test_hostile_names_logs_values_and_messages_stay_text(page: Page, site: Site, new_page: Any) -> None:
    execution = site.platform.run(HOSTILE, {XSS: XSS}, file_name="x'\"><b onmouseover=alert(3)>.py")
    site.platform.wait_ended(execution)
    assert site.platform.get(execution).name == XSS
    page.goto(f"{site.address}/executions?q=onerror")
    expect(page.locator(f"#x-{execution} td.name a")).to_have_text(XSS)
    page.goto(f"{site.address}/executions/{execution}")
    expect(page.locator("h1")).to_have_text(XSS)
    expect(page.locator(".notice pre").first).to_have_text(XSS)
    expect(page.locator("#log")).to_contain_text(XSS)
    expect(page.locator(".code-box")).to_contain_text(XSS)
    expect(page.locator(".json").first).to_contain_text("onerror")
    dot = page.locator("[data-dots] a.named").first
    dot.hover()
    expect(page.locator("#tip")).to_contain_text(XSS)
    dot.click()
    expect(page.locator("#savepoint-title")).to_contain_text(XSS)
    expect(page.locator(".inside .variables").first).to_contain_text("onerror")
    page.get_by_role("button", name="Load this savepoint").click()
    expect(load_field(page)).to_have_value(f"name={XSS}")
    expect(page.locator("#load-preview")).to_contain_text(XSS)
    load_field(page).fill(f"name={XSS}{XSS}")
    expect(page.locator("#load-preview")).to_contain_text("has no savepoint named")
    page.get_by_role("button", name="OK").click()
    expect(page.locator("#load-error")).to_contain_text("onerror")
    assert page.locator("img, script:not([src]), [onerror], [onmouseover]").count() == 0
    page.goto(f"{site.address}/executions/%3Cimg%20src=x%20onerror=alert(4)%3E")
    expect(page.locator("body")).to_contain_text("Not found")
    page.goto(f"{site.address}/executions?q=%22%3E%3Cscript%3Ealert(5)%3C/script%3E&flow=%3Cb%3E&tree=%3Cb%3E&page=x")
    expect(page.locator("#q")).to_have_value('"><script>alert(5)</script>')
    # That nothing was alerted, and nothing refused by the policy, is asserted by new_page.


def test_scripts_of_others_do_not_run_even_where_text_became_markup(page: Page, new_page: Any) -> None:
    page.evaluate("""() => {
        const place = document.createElement('div');
        document.body.append(place);
        place.innerHTML = '<img src=x onerror="window.ran = 1"><a id=evil href="javascript:window.ran = 2">x</a>';
        const script = document.createElement('script');
        script.textContent = 'window.ran = 3';
        document.body.append(script);
    }""")
    page.locator("#evil").dispatch_event("click")
    expect(page.locator("#evil")).to_be_visible()
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in new_page.said)
    new_page.said.clear()


def test_typed_input_and_selection_survive_live_updates(page: Page, site: Site) -> None:
    first = site.platform.run("def handler(system, this):\n    this.success('1')\n", file_name="survive.py")
    page.goto(f"{site.address}/executions?flow=survive.py")
    page.locator(f"[data-select='{first}']").check()
    page.locator("#q").focus()
    # Typed, and not yet asked for: the update comes in between.
    page.evaluate("() => { document.querySelector('#q').value = 'half a wo'; }")
    second = site.platform.run("def handler(system, this):\n    this.success('2')\n", file_name="survive.py")
    expect(page.locator(f"#x-{second} .status")).to_have_text("Success")
    expect(page.locator(f"[data-select='{first}']")).to_be_checked()
    expect(page.locator("#q")).to_have_value("half a wo")
    expect(page.locator("#q")).to_be_focused()
    expect(page.locator("[data-bulk]")).to_contain_text("1 selected")


def test_a_button_does_what_it_says_after_live_updates(page: Page, site: Site) -> None:
    """Message and banner come and go around the actions, and nodes are used again for others."""
    script = """
    import time

    def handler(system, this):
        this.create_dump("one")
        time.sleep(1)
        this.error("as always")
    """
    execution = site.platform.run(script, file_name="always.py")
    site.platform.wait_ended(execution)
    page.goto(f"{site.address}/executions/{execution}")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    for branch in (2, 3):
        site.platform.load(execution, name="one")
        expect(page.locator(".banner")).to_contain_text(f"branch {branch} began there")
        expect(page.locator("#message")).to_have_count(0)
        site.platform.wait_ended(execution)
        expect(page.locator("#message")).to_have_text("as always")
    for name in ("Load savepoint", "Fork"):
        page.locator("#actions").get_by_role("button", name=name).click()
        expect(page.locator("dialog[open]")).to_be_visible()
        page.keyboard.press("Escape")
    for button in page.locator("[aria-disabled=true]").all():
        button.dispatch_event("click")
    page.get_by_role("button", name="Dark or light").click()
    assert asked == []


def test_a_dialog_stays_as_it_is_while_the_flow_goes_on(page: Page, site: Site) -> None:
    script = """
    def handler(system, this):
        this.create_dump("one")
        while this.get("message") != "go":
            this.sleep(0.1)
        this.success("went")
    """
    execution = site.platform.run(script, file_name="busy.py")
    site.platform.wait_until(lambda: len(site.platform.savepoints(execution)) > 3, execution)
    page.goto(f"{site.address}/executions/{execution}")
    page.get_by_role("button", name="Load savepoint").click()
    field = load_field(page)
    field.fill("name=on")
    shown = int(page.locator("#timeline-title + .muted").inner_text().split()[0])
    expect(page.locator("#timeline-title + .muted")).not_to_have_text(re.compile(f"^{shown} "))
    expect(field).to_have_value("name=on")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("#q").fill("slee")
    expect(page.locator("#savepoints-title + .muted")).to_contain_text("match")
    expect(page.locator("#q")).to_have_value("slee")
    expect(page.locator("#q")).to_be_focused()
    site.platform.cancel(execution)
    expect(page.locator(".page-head .status")).to_have_text("Cancelled")


def test_the_log_goes_on_by_itself_and_back_on_request(page: Page, site: Site) -> None:
    script = """
    def handler(system, this):
        for number in range(450):
            print("line", number)
        this.get("id")
        this.create_dump("printed")
        while not this.get("message"):
            this.sleep(0.2)
        print("the end")
    """
    execution = site.platform.run(script, file_name="prints.py")
    site.platform.wait_until(lambda: len(site.platform.log(execution, "stdout")) == 450, execution)
    page.goto(f"{site.address}/executions/{execution}")
    log = page.locator("#log")
    expect(log).to_contain_text("line 449")
    assert page.locator("#log .line").count() == 200
    page.get_by_role("button", name="Earlier lines").click()
    expect(page.locator("#log .line")).to_have_count(400)
    page.get_by_role("button", name="Earlier lines").click()
    expect(log.get_by_text("line 0", exact=True)).to_have_count(1)
    expect(page.get_by_role("button", name="Earlier lines")).to_have_count(0)
    site.platform.run(
        f"def handler(system, this):\n    system.execution({execution!r}).save(message='go')\n", file_name="go.py"
    )
    expect(log).to_contain_text("the end")


def test_resource_use_is_drawn_and_told_in_words(page: Page, site: Site) -> None:
    # Samples come every ten seconds, of what has changed.
    script = """
    import time

    def handler(system, this):
        held = []
        while True:
            held.append(bytearray(1_000_000))
            time.sleep(0.5)
    """
    execution = site.platform.run(script, file_name="uses.py")
    page.goto(f"{site.address}/executions/{execution}")
    expect(page.locator("#usage")).to_contain_text(re.compile("Memory .*measured once so far"), timeout=60_000)
    words = re.compile(r"^Memory over time: now \d.*iB, least \d.*iB, most \d.*iB$")
    # It comes by itself.
    expect(page.get_by_role("img", name=words)).to_be_visible(timeout=60_000)
    site.platform.cancel(execution)


def test_bulk_actions_ask_first_and_tell_what_was_refused(page: Page, site: Site) -> None:
    script = "def handler(system, this):\n    this.sleep(3600)\n"
    running = site.platform.run(script, file_name="bulk.py")
    ended = site.platform.run("def handler(system, this):\n    this.success('x')\n", file_name="bulk.py")
    assert site.platform.wait_ended(ended).status == SUCCESS
    page.goto(f"{site.address}/executions?flow=bulk.py")
    expect(page.locator(f"#x-{running} .status")).to_have_text("Sleeping")
    page.locator("[data-select-all]").check()
    page.locator("[data-bulk]").get_by_role("button", name="Delete").click()
    expect(page.locator("#bulk-dialog")).to_contain_text("Delete 2 executions?")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".toast")).to_contain_text("1 execution deleted")
    expect(page.locator(".toast")).to_contain_text("cancel it first")
    expect(page.locator(f"#x-{ended}")).to_have_count(0)
    expect(page.locator("[data-bulk]")).not_to_be_visible()
    page.locator(f"[data-select='{running}']").check()
    page.locator("[data-bulk]").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(f"#x-{running} .status")).to_have_text("Cancelled")


def test_the_theme_is_toggled_and_kept(page: Page) -> None:
    def background() -> str:
        return page.evaluate("getComputedStyle(document.documentElement).backgroundColor")

    light = background()
    page.get_by_role("button", name="Dark or light").click()
    dark = background()
    assert dark != light
    page.reload()
    assert background() == dark


@pytest.mark.parametrize("path", ["/executions", "/new", "/executions/{id}"])
def test_a_phone_shows_everything_without_scrolling_sideways(new_page: Any, site: Site, path: str) -> None:
    execution = site.platform.run("def handler(system, this):\n    this.success('x' * 300)\n", file_name="phone.py")
    site.platform.wait_ended(execution)
    page = new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(site.address + path.format(id=execution))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_who_is_signed_out_elsewhere_is_sent_to_sign_in(page: Page, site: Site, new_page: Any) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.goto(f"{site.address}/executions")
    page.wait_for_url("**/login")
    page.get_by_label("Link").fill(site.link())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/executions")
    values = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Strict" for cookie in values.values())
    assert json.loads(page.evaluate("JSON.stringify(document.cookie)")) == ""
