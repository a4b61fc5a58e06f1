"""snapctl web: links to the page."""

from __future__ import annotations

import grpc
from flowsnap.v1 import web_pb2 as pb

LINK = "http://127.0.0.1:7117/login?token=once"


def test_a_link_is_printed_and_no_browser_is_started_without_a_display(snapctl, controller, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    controller.answer("CreateWebLink", pb.CreateWebLinkResponse(address="http://127.0.0.1:7117", link=LINK))
    assert snapctl("web").out == f"{LINK}\n"
    assert snapctl("web", "--print").out == f"{LINK}\n"
    assert snapctl("web", "-o", "json").json["link"] == LINK


def test_sign_out_ends_all_sessions(snapctl, controller):
    controller.answer("EndWebSessions", pb.EndWebSessionsResponse(ended=3))
    assert snapctl("web", "--sign-out").out == "signed out: 3 sessions and unused links\n"
    assert snapctl("web", "--sign-out", "-o", "json").json == {"ended": 3}


def test_a_controller_without_http_says_so(snapctl, controller):
    controller.refuse("CreateWebLink", grpc.StatusCode.FAILED_PRECONDITION, "this controller serves no HTTP")
    result = snapctl("web")
    assert (result.exit_code, result.out) == (4, "")
    assert "serves no HTTP" in result.err
