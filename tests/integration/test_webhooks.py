"""Webhooks: HTTP requests that start flows, and what they are answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import snapctl
from platform_under_test import SUCCESS, Platform, running_platform

ECHO = """
def handler(system, this):
    this.set_output("seen", this.get("input_value"))
"""

ANSWERING = """
def handler(system, this):
    request = this.get("input_value")
    this.set_output("response", request["json"])
    if request["query"].get("fail"):
        this.error("secret words")
"""


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """With HTTP, on a port of its own."""
    with running_platform(tmp_path_factory.mktemp("webhooks"), "--http-listen", "127.0.0.1:0") as platform:
        yield platform


@pytest.fixture
def save(serving: Platform, tmp_path: Path) -> Any:
    """Save a webhook; answers its URL and key."""

    def saved(name: str, script: str, *options: str) -> tuple[str, str]:
        (tmp_path / "hook.py").write_text(script)
        result = snapctl(serving, "webhook", "save", name, "--file", str(tmp_path / "hook.py"), "-o", "json", *options)
        assert result.exit_code == 0, result.err
        return result.json["url"], result.json["key"]

    return saved


def test_a_request_becomes_the_input_without_what_authenticates_it(serving: Platform, save: Any) -> None:
    url, key = save("echo ü/1".replace("/", "-"), ECHO)
    response = httpx.post(
        url,
        params=[("a", "1"), ("a", "2"), ("key", key)],
        json={"n": [None]},
        headers={"Authorization": "Basic eDp5", "Cookie": "c=1", "X-Mine": "m"},
    )
    assert response.status_code == 202
    execution = response.json()["execution"]
    assert serving.wait_ended(execution).status == SUCCESS
    seen = serving.output(execution)["seen"]
    assert (seen["webhook"], seen["method"], seen["query"], seen["json"]) == (
        "echo ü-1",
        "POST",
        {"a": ["1", "2"]},
        {"n": [None]},
    )
    assert seen["headers"]["x-mine"] == "m"
    assert not {"authorization", "cookie", "x-flowsnap-key"} & set(seen["headers"])
    assert key not in json.dumps(seen)


@pytest.mark.parametrize(
    ("request_", "field", "expected"),
    [
        ({"data": {"a": "1", "b": "ü"}}, "form", {"a": "1", "b": "ü"}),
        (
            {"data": {"a": "1"}, "files": {"f": ("x.bin", b"\x00\xff", "application/x-thing")}},
            "form",
            {"a": "1", "f": {"filename": "x.bin", "content_type": "application/x-thing", "content_base64": "AP8="}},
        ),
        ({"content": "text ü"}, "text", "text ü"),
        ({"content": b"\x00\xff"}, "content_base64", "AP8="),
    ],
)
def test_bodies_of_each_kind_reach_the_flow(
    serving: Platform, save: Any, request_: dict[str, Any], field: str, expected: object
) -> None:
    url, key = save("bodies", ECHO, "--new-key")
    response = httpx.post(url, headers={"X-Flowsnap-Key": key}, **request_)
    execution = response.json()["execution"]
    assert serving.wait_ended(execution).status == SUCCESS
    assert serving.output(execution)["seen"][field] == expected


@pytest.mark.parametrize(
    ("response", "status", "content_type", "body"),
    [
        ({"html": "<h1>ü</h1>"}, 200, "text/html; charset=utf-8", "<h1>ü</h1>"),
        ({"status": 201, "json": {"a": 1}, "headers": {"X-Mine": "m"}}, 201, "application/json", '{"a":1}'),
        ({"text": "plain", "status_code": 418}, 418, "text/plain; charset=utf-8", "plain"),
        ({"body": "<a/>", "headers": {"Content-Type": "application/xml"}}, 200, "application/xml", "<a/>"),
        ("just text", 200, "text/plain; charset=utf-8", "just text"),
    ],
)
def test_a_synchronous_webhook_answers_what_the_flow_says(
    save: Any, response: object, status: int, content_type: str, body: str
) -> None:
    url, key = save("sync", ANSWERING, "--sync", "--new-key")
    answer = httpx.post(url, json=response, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (status, content_type, body)


def test_a_synchronous_webhook_without_a_response_answers_the_output_or_the_failure(save: Any) -> None:
    url, key = save("output", ECHO, "--sync")
    answer = httpx.get(url, params={"key": key}, timeout=60)
    assert (answer.status_code, answer.json()["seen"]["method"]) == (200, "GET")
    url, key = save("failing", "def handler(system, this):\n    raise ValueError('secret words')\n", "--sync")
    answer = httpx.post(url, params={"key": key}, timeout=60)
    assert (answer.status_code, answer.json()["status"]) == (500, "ENDED_ERROR")
    assert "secret words" not in answer.text
    url, key = save("bad-response", ANSWERING, "--sync")
    answer = httpx.post(url, params={"key": key}, json={"status": "great"}, timeout=60)
    assert (answer.status_code, "no HTTP response" in answer.json()["error"]) == (500, True)


def test_a_synchronous_webhook_stops_waiting_and_the_execution_goes_on(serving: Platform, save: Any) -> None:
    url, key = save("slow", "def handler(system, this):\n    this.sleep(3600)\n", "--sync", "--timeout", "1")
    answer = httpx.get(url, params={"key": key}, timeout=60)
    assert (answer.status_code, answer.json()["error"]) == (504, "the execution did not end within 1 s; it goes on")
    serving.cancel(answer.json()["execution"])


def test_wrong_keys_unknown_webhooks_and_bad_bodies_are_refused(serving: Platform, save: Any) -> None:
    url, key = save("strict", ECHO)
    before = serving.executions.ListExecutions(_all()).executions
    assert httpx.post(url).status_code == 403
    assert httpx.post(url, params={"key": key[:-1]}).status_code == 403
    assert httpx.post(url.replace("strict", "absent"), params={"key": key}).status_code == 404
    assert httpx.get(url.rpartition("/")[0] + "/").status_code == 404
    bad = httpx.post(url, params={"key": key}, content="{no", headers={"Content-Type": "application/json"})
    assert (bad.status_code, "is no JSON" in bad.json()["error"]) == (400, True)
    assert httpx.post(url, params={"key": key}, content=bytes(5 << 20)).status_code == 413
    assert len(serving.executions.ListExecutions(_all()).executions) == len(before)


def test_a_key_is_shown_once_and_only_its_hash_is_kept(serving: Platform, save: Any) -> None:
    url, key = save("keyed", ECHO)
    assert save("keyed", ECHO) == (url, None)
    assert httpx.get(url, params={"key": key}).status_code == 202
    _, newer = save("keyed", ECHO, "--new-key")
    assert httpx.get(url, params={"key": key}).status_code == 403
    assert httpx.get(url, params={"key": newer}).status_code == 202
    listed = snapctl(serving, "webhook", "ls", "-o", "json")
    assert newer not in listed.out
    for file in serving.data_dir.glob("flowsnap.db*"):
        assert newer.encode() not in file.read_bytes()
    assert newer not in serving.controller_log()
    assert "keyed" in snapctl(serving, "webhook", "ls").out
    assert snapctl(serving, "webhook", "rm", "keyed").exit_code == 0
    assert httpx.get(url, params={"key": newer}).status_code == 404
    assert snapctl(serving, "webhook", "rm", "keyed").exit_code == 3


def test_a_webhook_runs_the_newest_version_of_a_pushed_flow(serving: Platform) -> None:
    serving.push("hooked", "def handler(system, this):\n    this.set_output('version', 1)\n")
    saved = snapctl(serving, "webhook", "save", "hooked", "--flow", "hooked", "--sync", "-o", "json").json
    serving.push("hooked", "def handler(system, this):\n    this.set_output('version', 2)\n")
    answer = httpx.get(saved["url"], params={"key": saved["key"]}, timeout=60)
    assert answer.json() == {"version": 2}


def test_an_address_that_is_taken_or_none_ends_the_start_with_the_words(serving: Platform, tmp_path: Path) -> None:
    url = snapctl(serving, "webhook", "save", "address", "--flow", "absent").err
    assert "there is no flow 'absent'" in url
    saved = snapctl(serving, "webhook", "ls", "-o", "json").json["webhooks"]
    taken = saved[0]["url"].split("/")[2]
    for listen, words in (
        (taken, "can't be listened on: Address already in use; .* --http-listen HOST:PORT"),
        ("nowhere", "is not HOST:PORT"),
    ):
        second = Platform(tmp_path / "data", "--http-listen", listen)
        with pytest.raises(AssertionError, match=words):
            second.start()
        assert "Traceback" not in second.controller_log()
        second.stop()


def _all() -> Any:
    from flowsnap.v1 import control_pb2

    return control_pb2.ListExecutionsRequest(page_size=1000)
