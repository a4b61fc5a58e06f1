"""Connections: typed in, tested, changed without their secrets being shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from flowsnap.v1 import control_pb2 as pb
from platform_under_test import SUCCESS
from playwright.sync_api import Page, expect
from site_under_test import Site

XSS = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}"
SECRET = "hunter2-geheim"


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        # Basic authentication of "me" and SECRET.
        allowed = self.headers.get("Authorization") == "Basic bWU6aHVudGVyMi1nZWhlaW0="
        self.send_response(200 if allowed else 401)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/"
    running.shutdown()
    running.server_close()


def saved(site: Site, name: str) -> tuple[dict[str, object], dict[str, object]]:
    one = site.platform.connections.GetConnection(pb.GetConnectionRequest(name=name)).connection
    return json.loads(one.value_json), json.loads(one.secrets_json or b"{}")


def test_a_connection_is_made_tested_and_changed_with_its_secret_kept(page: Page, site: Site, server: str) -> None:
    page.get_by_role("link", name="Connections").click()
    page.get_by_role("link", name="New connection").first.click()
    page.get_by_role("link", name="REST").click()
    page.get_by_label("Name", exact=True).fill(XSS)
    page.get_by_label("url", exact=True).fill(server)
    page.get_by_label("username").fill("me")
    page.get_by_label("password").fill(SECRET)
    page.get_by_text("Defaults for calls").click()
    page.get_by_label("timeout").fill("soon")
    page.get_by_label("headers").fill('{"X-Of": 1')
    page.locator("form.card").evaluate("form => form.noValidate = true")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#form-error")).to_contain_text("input headers is no JSON")
    page.get_by_label("headers").fill('{"X-Of": "</textarea><b>"}')
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#form-error")).to_contain_text("input timeout must be a number")
    expect(page.get_by_label("password")).to_have_value(SECRET)
    page.get_by_label("timeout").fill("5")
    page.get_by_label("json", exact=True).fill("plain words")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("h1")).to_have_text(XSS)
    value, secrets = saved(site, XSS)
    assert value == {
        "url": server,
        "username": "me",
        "headers": {"X-Of": "</textarea><b>"},
        "json": "plain words",
        "timeout": 5,
    }
    assert list(secrets) == ["password"]
    assert SECRET not in page.content()
    expect(page.get_by_label("password")).to_have_value("")
    expect(page.get_by_label("password")).to_have_attribute("placeholder", "saved; leave empty to keep it")
    page.get_by_role("button", name="Test what is saved").click()
    expect(page.locator("#test-result")).to_contain_text("It works")
    change_and_delete(page, site, server)


def change_and_delete(page: Page, site: Site, server: str) -> None:
    page.get_by_label("timeout").fill("")
    page.get_by_label("verify_ssl").select_option("false")
    with page.expect_navigation():
        page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#test-result")).to_have_text("Saved.")
    expect(page.get_by_label("verify_ssl")).to_have_value("false")
    value, secrets = saved(site, XSS)
    assert (value["verify_ssl"], "timeout" in value, list(secrets)) == (False, False, ["password"])
    page.goto(f"{site.address}/connections")
    row = page.locator("#list tbody tr").filter(has_text="onerror")
    expect(row).to_contain_text(server)
    expect(row).to_contain_text("an operator")
    row.get_by_role("button", name="Test").click()
    expect(page.locator("#test-result")).to_contain_text("It works")
    row.get_by_role("link", name=XSS).click()
    page.get_by_label("Forget what is saved").check()
    with page.expect_navigation():
        page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#test-result")).to_have_text("Saved.")
    expect(page.get_by_label("Forget what is saved")).to_have_count(0)
    assert saved(site, XSS)[1] == {}
    page.get_by_role("button", name="Test what is saved").click()
    expect(page.locator("#test-result .error")).to_contain_text("does not work")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, go on").click()
    page.wait_for_url("**/connections")
    expect(row).to_have_count(0)


def test_every_type_has_a_form_and_an_execution_is_named_that_saved_one(page: Page, site: Site) -> None:
    script = """
    def handler(system, this):
        system.connection("of-a-flow").save("REST", {"url": "https://example.com/"})
        return this.success("saved")
    """
    execution = site.platform.run(script, file_name="saves.py")
    assert site.platform.wait_ended(execution).status == SUCCESS
    types = site.platform.connections.ListConnectorTypes(pb.ListConnectorTypesRequest()).types
    for one in types:
        page.goto(f"{site.address}/connections/new?type={one.name}")
        expect(page.locator("[name^='v-']")).to_have_count(len(one.inputs))
    page.goto(f"{site.address}/connections")
    expect(page.locator("#list tbody tr").filter(has_text="of-a-flow")).to_contain_text(execution)
