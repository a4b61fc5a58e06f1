"""What stands before the pages: sign-in, cookies, Host, CSRF, headers; on a whole controller without containers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from controller_under_test import ControllerUnderTest, running_controller
from flowsnap.v1 import web_pb2 as pb
from grpc import StatusCode, aio

from controller.sessions import LINK_LIFE, SESSION_LIFE


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path, http_listen="127.0.0.1:0", http_hosts=("flows.example",)) as running:
        yield running


@pytest.fixture
async def client(controller: ControllerUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is not signed in."""
    address = (await controller.web.CreateWebLink(pb.CreateWebLinkRequest())).address
    async with httpx.AsyncClient(base_url=address, timeout=20) as client:
        yield client


async def sign_in(controller: ControllerUnderTest, client: httpx.AsyncClient) -> str:
    """Answers the CSRF token of its forms."""
    link = (await controller.web.CreateWebLink(pb.CreateWebLinkRequest())).link
    response = await client.post("/login", data={"token": link.rpartition("=")[2]})
    assert (response.status_code, response.headers["location"]) == (303, "/")
    return re.search(r'name="csrf" value="([0-9a-f]{64})"', (await client.get("/executions")).text)[1]


async def test_nothing_is_shown_to_who_is_not_signed_in(client: httpx.AsyncClient) -> None:
    for path in ("/", "/executions", "/executions/any", "/new", "/executions/any/log"):
        response = await client.get(path)
        assert (response.status_code, response.headers["location"]) == (303, "/login")
    assert (await client.get("/events", headers={"Accept": "text/event-stream"})).status_code == 401
    asked = await client.get("/executions", headers={"HX-Request": "true"})
    assert (asked.status_code, asked.headers["hx-redirect"]) == (401, "/login")
    assert (await client.post("/executions/bulk", data={"action": "delete"})).status_code == 303
    assert (await client.get("/login")).status_code == 200


async def test_a_link_signs_in_once_and_only_hashes_are_kept(
    controller: ControllerUnderTest, client: httpx.AsyncClient
) -> None:
    answer = await controller.web.CreateWebLink(pb.CreateWebLinkRequest())
    assert answer.link.startswith(f"{answer.address}/login?token=")
    token = answer.link.rpartition("=")[2]
    # What previews the link does not use it up.
    for _ in range(2):
        assert (await client.get(f"/login?token={token}")).status_code == 200
    first = await client.post("/login", data={"token": answer.link})
    cookie = first.headers["set-cookie"]
    assert first.status_code == 303
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert (await client.get("/executions")).status_code == 200
    async with httpx.AsyncClient(base_url=answer.address) as other:
        again = await other.post("/login", data={"token": token})
        assert (again.status_code, "used before" in again.text) == (403, True)
        assert (await other.get("/executions")).status_code == 303
    session = next(iter(client.cookies.values()))
    for file in controller.config.data_dir.glob("flowsnap.db*"):
        kept = file.read_bytes()
        assert token.encode() not in kept
        assert session.encode() not in kept


async def test_links_and_sessions_expire(
    controller: ControllerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = controller.services.clock
    link = (await controller.web.CreateWebLink(pb.CreateWebLinkRequest())).link
    await sign_in(controller, client)
    now = clock.now()
    with monkeypatch.context() as later:
        later.setattr(type(clock), "now", lambda _: now + LINK_LIFE)
        async with httpx.AsyncClient(base_url=client.base_url) as late:
            assert (await late.post("/login", data={"token": link})).status_code == 403
        assert (await client.get("/executions")).status_code == 200
        later.setattr(type(clock), "now", lambda _: now + SESSION_LIFE + timedelta(seconds=5))
        assert (await client.get("/executions")).status_code == 303


async def test_signing_out_ends_one_session_and_sign_out_all_ends_all(
    controller: ControllerUnderTest, client: httpx.AsyncClient
) -> None:
    csrf = await sign_in(controller, client)
    async with httpx.AsyncClient(base_url=client.base_url) as other:
        await sign_in(controller, other)
        cookies = dict(client.cookies)
        assert (await client.post("/logout", data={"csrf": csrf})).status_code == 303
        client.cookies.update(cookies)
        assert (await client.get("/executions")).status_code == 303
        assert (await other.get("/executions")).status_code == 200
        unused = (await controller.web.CreateWebLink(pb.CreateWebLinkRequest())).link
        # The session of `other`, this link, and the one that the fixture did not use.
        assert (await controller.web.EndWebSessions(pb.EndWebSessionsRequest())).ended == 3
        assert (await other.get("/executions")).status_code == 303
        assert (await other.post("/login", data={"token": unused})).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "a b"])
async def test_a_name_that_is_none_of_ours_is_refused_even_with_the_cookie(
    controller: ControllerUnderTest, client: httpx.AsyncClient, host: str
) -> None:
    await sign_in(controller, client)
    assert (await client.get("/executions", headers={"Host": host})).status_code == 421
    assert (await client.get("/login", headers={"Host": host})).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:1", "LOCALHOST", "[::1]:80", "10.0.0.7", "flows.example:8443"])
async def test_addresses_localhost_and_given_names_are_known(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/login", headers={"Host": host})).status_code == 200


async def test_posts_need_the_token_of_their_session_and_their_own_page(
    controller: ControllerUnderTest, client: httpx.AsyncClient
) -> None:
    csrf = await sign_in(controller, client)
    form = {"script": "def handler(system, this):\n    pass\n", "input": "1"}
    for wrong in ({}, {"csrf": ""}, {"csrf": csrf[:-1]}, {"csrf": "ü" * 64}):
        assert (await client.post("/new", data={**form, **wrong})).status_code == 403
    form["csrf"] = csrf
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert (await client.post("/new", data=form, headers=headers)).status_code == 403
    async with httpx.AsyncClient(base_url=client.base_url) as other:
        await sign_in(controller, other)
        assert (await other.post("/new", data=form)).status_code == 403
    assert (await client.post("/new", content=b"x", headers={"Content-Type": "text/plain"})).status_code == 415
    broken = {"Content-Type": "multipart/form-data"}
    assert (await client.post("/new", content=b"--x\r\nbroken", headers=broken)).status_code == 400
    assert (await client.post("/files/upload", files={"file": b"x"})).status_code == 403
    assert (await client.post("/files/upload", files={"file": b"x"}, data={"csrf": csrf[:-1]})).status_code == 403
    assert not controller.launcher.agents
    assert (await client.post("/new", data=form)).status_code == 303
    by_header = {key: value for key, value in form.items() if key != "csrf"}
    assert (await client.post("/new", data=by_header, headers={"X-CSRF-Token": csrf})).status_code == 303


async def test_every_answer_forbids_frames_scripts_of_others_and_guessing(
    controller: ControllerUnderTest, client: httpx.AsyncClient
) -> None:
    await sign_in(controller, client)
    static = re.findall(r'(?:src|href)="(/static/[^"]+)"', (await client.get("/executions")).text)
    assert len(static) == 6
    for path in ("/executions", "/new", "/executions/none", "/nowhere", "/login", *static):
        response = await client.get(path)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
        if path in static:
            assert "immutable" in response.headers["cache-control"]
        else:
            assert response.headers["cache-control"] == "no-store"
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", response.text)


async def test_a_form_that_is_too_large_is_refused(controller: ControllerUnderTest, client: httpx.AsyncClient) -> None:
    csrf = await sign_in(controller, client)
    response = await client.post("/new", data={"csrf": csrf, "script": "x" * (33 << 20)})
    assert response.status_code == 413
    assert (await client.post("/login", data={"token": "x" * 5000})).status_code == 413


async def test_webhooks_keep_their_keys_and_need_no_session(client: httpx.AsyncClient) -> None:
    response = await client.post("/webhook/none", headers={"Host": "hooks.example"})
    assert (response.status_code, "error" in response.json()) == (404, True)


async def test_without_http_there_is_no_link(tmp_path: Path) -> None:
    async with running_controller(tmp_path) as controller:
        with pytest.raises(aio.AioRpcError) as refused:
            await controller.web.CreateWebLink(pb.CreateWebLinkRequest())
    assert refused.value.code() is StatusCode.FAILED_PRECONDITION
    assert "--http-listen" in refused.value.details()
