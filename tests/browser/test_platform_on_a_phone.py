"""The pages of what stands beside executions, on a narrow screen."""

from __future__ import annotations

import json
from typing import Any

from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc, types_pb2
from site_under_test import Site, delete_messages

LONG = "a-name-without-any-place-to-break-it-" * 4
PATHS = (
    "/executions",
    "/new",
    "/flows",
    f"/flows/one?name={LONG}",
    "/flows/push",
    "/messages",
    "/schedules",
    "/schedules/new",
    "/webhooks",
    "/webhooks/new",
    "/connections",
    "/connections/new",
    "/connections/new?type=REST",
    "/settings",
    f"/settings/one?name={LONG}",
    "/files",
    "/locks",
    "/system",
)


_CUT_BUTTONS = """[...document.querySelectorAll("main :is(button, .button)")].filter((button) => {
    const at = button.getBoundingClientRect();
    const scrolls = button.closest(".table-box, .tabs, .code-box, .log-box");
    return at.width && !scrolls && (at.left < 0 || at.right > innerWidth);
}).map((button) => button.textContent)"""


def test_no_page_scrolls_sideways_on_a_phone(new_page: Any, site: Site) -> None:
    platform = site.platform
    platform.push(LONG, "def handler(system, this):\n    this.success('x')\n")
    platform.connect(LONG, "REST", base_url=f"https://example.com/{LONG}")
    settings = platform_pb2_grpc.SettingServiceStub(platform.channel)
    settings.SaveSetting(pb.SaveSettingRequest(name=LONG, value_json=json.dumps(LONG).encode()))
    webhook = pb.Webhook(name=LONG, flow_name=LONG)
    platform_pb2_grpc.WebhookServiceStub(platform.channel).SaveWebhook(pb.SaveWebhookRequest(webhook=webhook))
    schedule = pb.Schedule(name=LONG, flow_name=LONG, cron="0 0 1 1 *", enabled=True)
    platform_pb2_grpc.ScheduleServiceStub(platform.channel).SaveSchedule(pb.SaveScheduleRequest(schedule=schedule))
    # An open message has a badge in the side.
    script = "def handler(system, this):\n    system.message('Go on?', request='Well?').wait()\n"
    asks = platform.run(script, name=LONG, file_name=f"{LONG}.py")
    platform.wait_status(asks, types_pb2.EXECUTION_STATUS_WAITING_MESSAGE)
    page = new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    wide = {}
    for path in (*PATHS, f"/executions/{asks}"):
        page.goto(site.address + path)
        page.locator(".badge").wait_for(state="attached")
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
        # What a card cuts off can't be pressed.
        assert page.evaluate(_CUT_BUTTONS) == [], path
    assert {path: width for path, width in wide.items() if width > 360} == {}
    platform.cancel(asks)
    delete_messages(site, asks)
