"""Messages: their forms, filled in by a person, with what is wrong told at the fields."""

from __future__ import annotations

import json
from typing import Any

from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc
from platform_under_test import SUCCESS
from playwright.sync_api import Page, expect
from site_under_test import Site

XSS = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}</textarea>"

SCHEMA = {
    "type": "object",
    "properties": {
        "about": {"element": "markdown", "description": f"Read this: {XSS}", "order": 0},
        "who": {"type": "string", "title": XSS, "description": XSS, "minLength": 3},
        "mail": {"type": "string", "format": "email", "label": "Mail"},
        "day": {"type": "string", "format": "date", "label": "Day", "default": "2026-02-03"},
        "why": {"type": "string", "maxLength": 2000, "label": "Why"},
        "count": {"type": "integer", "minimum": 1, "label": "Count"},
        "rate": {"type": "number", "label": "Rate", "default": 1.5},
        "sure": {"type": "boolean", "label": "Sure"},
        "size": {"enum": ["S", "M", XSS, 4], "label": "Size", "default": "M"},
        "colours": {"type": "array", "items": {"enum": ["red", "blue", "green"]}, "label": "Colours"},
        "names": {"type": "array", "items": {"type": "string"}, "label": "Names"},
        "place": {
            "type": "object",
            "label": "Place",
            "properties": {"town": {"type": "string", "label": "Town"}, "zip": {"type": "integer", "label": "Zip"}},
            "required": ["town"],
        },
        "odd": {"anyOf": [{"type": "integer"}, {"type": "null"}], "label": "Odd"},
    },
    "required": ["who", "count", "place"],
}


def sent(site: Site, script: str) -> tuple[str, str]:
    """Ids of the execution and of its message."""
    execution = site.platform.run(script, file_name="asks.py")
    return execution, site.platform.wait_results(execution, 1)[0]


def asking(body: Any, subject: str = "Order") -> str:
    return f"""
    import json
    def handler(system, this):
        message = system.message({subject!r}, body=json.loads({json.dumps(body)!r}))
        print("RESULT", message.id)
        message.wait()
        return this.success(json.dumps(message.get("response")))
    """


def test_a_form_of_everything_is_answered(page: Page, site: Site) -> None:
    execution, message = sent(site, asking(SCHEMA, XSS))
    expect(page.locator(".badge")).to_contain_text("1")
    page.get_by_role("link", name="Messages").click()
    page.locator(f"#m-{message}").get_by_role("link", name=XSS).click()
    expect(page.locator("h1")).to_have_text(XSS)
    expect(page.locator(".note")).to_contain_text(XSS)
    expect(page.get_by_label("Day")).to_have_value("2026-02-03")
    page.get_by_label(XSS).fill("ab")
    page.get_by_label("Mail").fill("nobody")
    page.get_by_label("Count").fill("two")
    page.get_by_label("Why").fill("first\nsecond")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".notice.error")).to_contain_text("Not sent yet: 1 field")
    expect(page.locator(".problem")).to_have_text("'two' is no whole number")
    page.get_by_label("Count").fill("0")
    page.get_by_role("button", name="Send").click()
    problems = page.locator(".problem")
    expect(problems).to_have_count(4)
    for words in ("too short", "'nobody' is not a 'email'", "less than the minimum", "required"):
        expect(problems.filter(has_text=words)).to_have_count(1)
    expect(page.get_by_label("Mail")).to_have_value("nobody")
    expect(page.get_by_label("Why")).to_have_value("first\nsecond")
    page.get_by_label(XSS).fill("abc")
    page.get_by_label("Mail").fill("a@example.com")
    page.get_by_label("Count").fill("2")
    page.get_by_label("Sure", exact=True).check()
    page.get_by_label("Size").select_option(label=XSS)
    page.get_by_label("green").check()
    page.get_by_label("red").check()
    page.get_by_label("Names").fill("x\n\n y y ")
    page.get_by_label("Town").fill("Wien")
    page.get_by_label("Odd").fill("null")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Response")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("Ada")
    assert site.platform.wait_ended(execution).status == SUCCESS
    assert json.loads(site.platform.get(execution).message) == {
        "who": "abc",
        "mail": "a@example.com",
        "day": "2026-02-03",
        "why": "first\nsecond",
        "count": 2,
        "rate": 1.5,
        "sure": True,
        "size": XSS,
        "colours": ["red", "green"],
        "names": ["x", "y y"],
        "place": {"town": "Wien"},
        "odd": None,
    }
    expect(page.locator(".badge")).to_have_count(0)
    page.goto(f"{site.address}/messages?status=answered")
    expect(page.locator(f"#m-{message}")).to_contain_text("Ada")


def test_a_text_is_acknowledged_and_a_question_answered(page: Page, site: Site) -> None:
    execution, message = sent(
        site,
        """
        def handler(system, this):
            one, two = system.message("Report", message="All done"), system.message("Who?", request="Your full name")
            print("RESULT", one.id)
            print("RESULT", two.id)
            one.wait()
            return this.success(two.wait().get("response")["string"])
        """,
    )
    page.goto(f"{site.address}/messages/one?id={message}")
    expect(page.locator(".note")).to_have_text("All done")
    page.get_by_role("button", name="OK").click()
    expect(page.locator(".json").first).to_contain_text('"acknowledge": true')
    page.goto(f"{site.address}/messages/one?id={site.platform.wait_results(execution, 2)[1]}")
    page.get_by_role("button", name="OK").click()
    expect(page.locator(".problem")).to_contain_text("required")
    page.get_by_label("Your full name").fill("Ada")
    page.get_by_role("button", name="OK").click()
    assert site.platform.wait_ended(execution).status == SUCCESS
    assert site.platform.get(execution).message == "Ada"


def test_who_comes_second_is_told_and_a_message_is_deleted(page: Page, site: Site) -> None:
    execution, message = sent(site, asking({"type": "object"}))
    page.goto(f"{site.address}/messages/one?id={message}")
    page.get_by_label("Response").fill("[]")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".notice.error")).to_contain_text("is not of type 'object'")
    expect(page.get_by_label("Response")).to_have_value("[]")
    stub = platform_pb2_grpc.MessageServiceStub(site.platform.channel)
    stub.AnswerMessage(pb.AnswerMessageRequest(id=message, response_json=b'{"a": 1}', answered_by="Bob"))
    page.get_by_label("Response").fill("{}")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".notice.error")).to_contain_text("was answered by Bob")
    expect(page.locator(".json").first).to_contain_text('"a": 1')
    assert site.platform.wait_ended(execution).status == SUCCESS
    waiting, message = sent(site, asking({"type": "object"}, "Gone"))
    page.goto(f"{site.address}/messages")
    page.locator(f"#m-{message}").get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, go on").click()
    expect(page.locator(f"#m-{message}")).to_have_count(0)
    site.platform.wait_ended(waiting)
