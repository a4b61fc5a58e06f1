"""What screen readers and weak eyes need of each page: names, headings, labels, contrast; in light and in dark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc as rpc
from flowsnap.v1 import types_pb2
from playwright.sync_api import Page, expect
from site_under_test import Site, load_field, running_site

SCRIPT = """
def handler(system, this):
    system.setting("held").acquire()
    print("printed")
    this.create_dump("named")
    system.message("Go on?", body={"type": "object", "properties": {"why": {"type": "string"}}}).wait()
"""
PATHS = (
    "/executions",
    "/new",
    "/flows",
    "/flows/one?name=read&against=1",
    "/flows/push",
    "/messages",
    "/schedules",
    "/schedules/one?name=read",
    "/webhooks",
    "/webhooks/one?name=read",
    "/connections",
    "/connections/new",
    "/connections/one?name=read",
    "/settings",
    "/settings/one?name=held",
    "/files",
    "/locks",
    "/system",
    "/executions/none",
)
# Smaller text needs 4.5 to 1, as WCAG has it.
PROBLEMS = """(() => {
    const problems = [];
    const seen = (element) => element.checkVisibility({checkVisibilityCSS: true}) && element.getClientRects().length;
    const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);
    const words = (element) => element.outerHTML.slice(0, 120);
    const text = (ids) => ids.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
    const named = (element) => element.getAttribute("aria-label") || element.title || element.textContent.trim()
        || text(element.getAttribute("aria-labelledby") ?? "");
    for (const one of all("a[href], button, summary, [role=region], [role=group], [role=img], nav, section, dialog"))
        if (!named(one)) problems.push(`no name: ${words(one)}`);
    for (const one of all("input:not([type=hidden]), select, textarea"))
        if (!one.labels.length && !one.getAttribute("aria-label")) problems.push(`no label: ${words(one)}`);
    for (const one of document.querySelectorAll("[aria-labelledby], [aria-describedby], [aria-controls], label[for]"))
        for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "for"])
            for (const id of (one.getAttribute(name) ?? "").split(" ").filter(Boolean))
                if (!document.getElementById(id)) problems.push(`${name} leads nowhere: ${words(one)}`);
    const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
    for (const id of new Set(ids)) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.push(`id twice: ${id}`);
    const levels = all(":is(h1, h2, h3)").filter((one) => !one.closest("dialog")).map((one) => Number(one.tagName[1]));
    if (levels[0] !== 1 || levels.filter((level) => level === 1).length !== 1) problems.push(`headings: ${levels}`);
    levels.forEach((level, at) => { if (level > (levels[at - 1] ?? 0) + 1) problems.push(`headings: ${levels}`); });

    const scratch = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const rgba = (colour) => {
        scratch.clearRect(0, 0, 1, 1);
        scratch.fillStyle = colour;
        scratch.fillRect(0, 0, 1, 1);
        return [...scratch.getImageData(0, 0, 1, 1).data];
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const found = rgba(getComputedStyle(at).backgroundColor);
            if (found[3] === 255) return found;
        }
        return [255, 255, 255, 255];
    };
    const light = (colour) => colour.slice(0, 3).map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const whole = all("*").filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    for (const one of whole) {
        if (one.closest("[aria-disabled=true], :disabled, .only-read, option, svg, .skip")) continue;
        const [lighter, darker] = [light(rgba(getComputedStyle(one).color)), light(behind(one))].sort((a, b) => b - a);
        const contrast = (lighter + 0.05) / (darker + 0.05);
        if (contrast < 4.5) problems.push(`contrast ${contrast.toFixed(1)}: ${words(one)}`);
    }
    return problems;
})()"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Of its own: other tests count what there is."""
    with running_site(tmp_path_factory.mktemp("readers")) as site:
        yield site


@pytest.fixture(scope="module")
def execution(site: Site) -> Any:
    platform = site.platform
    for number in range(2):
        platform.push("read", f"def handler(system, this):\n    this.success({number})\n")
    setting = pb.SaveSettingRequest(name="held", value_json=json.dumps({"a": 1}).encode())
    rpc.SettingServiceStub(platform.channel).SaveSetting(setting)
    rpc.FileServiceStub(platform.channel).PutFile(pb.PutFileRequest(name="read.csv", content=b"1"))
    schedule = pb.Schedule(name="read", flow_name="read", cron="0 0 1 1 *", enabled=True)
    rpc.ScheduleServiceStub(platform.channel).SaveSchedule(pb.SaveScheduleRequest(schedule=schedule))
    webhook = pb.Webhook(name="read", flow_name="read")
    rpc.WebhookServiceStub(platform.channel).SaveWebhook(pb.SaveWebhookRequest(webhook=webhook))
    platform.connect("read", "REST", base_url="https://example.com")
    made = platform.run(SCRIPT, file_name="read.py")
    platform.wait_status(made, types_pb2.EXECUTION_STATUS_WAITING_MESSAGE)
    yield made
    platform.cancel(made)


def problems_of(page: Page) -> list[str]:
    page.locator(".badge").wait_for(state="attached")
    return page.evaluate(PROBLEMS)  # type: ignore[no-any-return]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_can_be_read(new_page: Any, site: Site, execution: str, scheme: str) -> None:
    page = new_page(color_scheme=scheme)
    found = {}
    for path in PATHS:
        page.goto(site.address + path)
        if path == "/system":
            page.locator("#hosts tbody tr").wait_for()
            page.locator("#checks li").last.wait_for()
        found[path] = problems_of(page)
    page.goto(f"{site.address}/messages")
    page.locator("#list td.name a").first.click()
    page.locator("#f0").wait_for()
    found["a message"] = problems_of(page)
    page.goto(f"{site.address}/executions/{execution}")
    page.locator("[data-dots] a.named").click()
    page.locator(".inside .variables").first.wait_for()
    found["an execution"] = problems_of(page)
    page.get_by_role("button", name="Load savepoint").click()
    load_field(page).fill("name=named")
    expect(page.locator("#load-preview ul")).to_be_visible()
    found["a load"] = problems_of(page)
    assert {where: problems for where, problems in found.items() if problems} == {}
