"""The pages of what stands beside executions, on a narrow screen."""

from __future__ import annotations

import json
from typing import Any

from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc
from site_under_test import Site

LONG = "a-name-without-any-place-to-break-it-" * 4
PATHS = (
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
    page = new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    wide = {}
    for path in PATHS:
        page.goto(site.address + path)
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
    assert {path: width for path, width in wide.items() if width > 360} == {}
