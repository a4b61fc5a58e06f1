"""The REST connector against a real HTTP server."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from controller.connectors import ConnectorError, connector
from controller.connectors.http import MAX_RESPONSE_BYTES
from controller.connectors.reach import only_to

KEY = "key-of-the-call"


class Handler(BaseHTTPRequestHandler):
    """Echoes requests as JSON; some paths misbehave."""

    server: Server

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        parts = urlsplit(self.path)
        request = {
            "method": self.command,
            "path": parts.path,
            "query": parse_qs(parts.query),
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(length).decode(),
        }
        self.server.seen.append(request)
        match parts.path.strip("/").split("/"):
            case ["status", code]:
                self.answer(int(code), f"no: {self.headers.get('Authorization')} ".encode() + b"x" * 1000)
            case ["fails", times] if len(self.server.seen) <= int(times):
                self.answer(503, b"busy")
            case ["redirect", *host]:
                self.answer(302, b"", Location=f"http://{host[0]}:{self.server.server_port}/" if host else "/landed")
            case ["slow"]:
                time.sleep(1)
                self.answer(200, b"")
            case ["cut"]:
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"short")
                self.close_connection = True
            case ["large"]:
                self.answer(200, b"0" * (MAX_RESPONSE_BYTES + 1))
            case ["latin"]:
                self.answer(200, "grün".encode("latin-1"), kind="text/plain; charset=latin-1")
            case ["broken-json"]:
                self.answer(200, b"{", kind="application/json")
            case ["bogus-charset"]:
                self.answer(200, "grün".encode(), kind="text/plain; charset=bogus")
            case _:
                self.answer(200, json.dumps(request).encode(), kind="application/json", **{"Set-Cookie": "a=b; Path=/"})

    def answer(self, status: int, body: bytes, kind: str = "text/plain", **headers: str) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_one  # noqa: N815 (http.server's names)


class Server(ThreadingHTTPServer):
    """Remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def rest(**inputs: Any) -> dict[str, Any]:
    return await connector("REST").call(inputs, idempotency_key=KEY)


async def refusal(**inputs: Any) -> tuple[str, str]:
    with pytest.raises(ConnectorError) as caught:
        await rest(**inputs)
    return caught.value.error_type, str(caught.value)


async def test_server_can_not_send_on_to_another_name_of_the_controllers_host(server: Server) -> None:
    kind, message = await refusal(base_url=server.url, path="redirect/localhost")
    assert kind == "PermissionDenied"
    assert message == "REST: 127.0.0.1 redirects to localhost: localhost is the controller's own host or link"
    assert [one["path"] for one in server.seen] == ["/redirect/localhost"]
    output = await rest(
        base_url=server.url, path="redirect/localhost", follow_redirects=False, expected_status_code=302
    )
    assert output["status_code"] == 302


async def test_no_redirect_is_followed_when_a_flow_leads(server: Server) -> None:
    with only_to({"server.test": "127.0.0.1"}):
        kind, message = await refusal(url=f"http://server.test:{server.server_port}/redirect")
    assert (kind, "status 302" in message) == ("ConnectorError", True)
    assert [one["headers"]["host"] for one in server.seen] == [f"server.test:{server.server_port}"]


async def test_json_comes_back_parsed_when_the_server_sends_it(server: Server) -> None:
    output = await rest(base_url=f"{server.url}/v1/", path="/items", params={"q": "a b", "n": 1})
    assert (output["status_code"], output["encoding"], output["cookies"]) == (200, "utf-8", {"a": "b"})
    assert output["headers"]["content-type"] == "application/json"
    assert (output["json"]["method"], output["json"]["path"]) == ("GET", "/v1/items")
    assert output["json"]["query"] == {"q": ["a b"], "n": ["1"]}
    assert "idempotency-key" not in output["json"]["headers"]
    assert "text" not in output
    json.dumps(output)


@pytest.mark.parametrize(
    ("inputs", "body", "kind"),
    [
        ({"json": {"ü": [1]}}, '{"ü": [1]}', "application/json"),
        ({"json": {}}, "{}", "application/json"),
        ({"json": False}, "false", "application/json"),
        ({"json": 1, "headers": {"content-type": "application/x+json"}}, "1", "application/x+json"),
        ({"text": "ü"}, "ü", "text/plain; charset=utf-8"),
        ({"data": "raw"}, "raw", None),
        ({"data": {"base64": "cmF3"}}, "raw", None),
        ({"xml": "<a>ü</a>"}, "<a>ü</a>", "application/xml; charset=utf-8"),
        ({"urlencoded": {"a": "b c", "n": 1}}, "a=b+c&n=1", "application/x-www-form-urlencoded"),
    ],
)
async def test_body_is_sent_as_its_input_says(server: Server, inputs: dict[str, Any], body: str, kind: str) -> None:
    sent = (await rest(url=server.url, method="POST", **inputs))["json"]
    assert (sent["body"], sent["headers"].get("content-type")) == (body, kind)
    assert sent["headers"]["idempotency-key"] == KEY


async def test_parts_are_sent_as_a_form_when_a_body_is_multipart(server: Server) -> None:
    parts = {
        "note": "ü",
        "file": {"content": {"base64": "QUI="}, "file_name": "a.pdf", "content_type": "application/pdf"},
    }
    sent = (await rest(url=server.url, method="post", multipart=parts))["json"]
    assert sent["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert 'name="note"\r\n\r\nü\r\n' in sent["body"]
    assert 'name="file"; filename="a.pdf"\r\nContent-Type: application/pdf\r\n\r\nAB\r\n' in sent["body"]
    kind, message = await refusal(url=server.url, method="post", multipart={"file": {"name": "x"}})
    assert (kind, "file in input multipart" in message) == ("InvalidInputError", True)


async def test_bytes_come_back_when_they_are_asked_for(server: Server) -> None:
    output = await rest(base_url=server.url, path="latin", binary=True)
    assert output["content"] == {"base64": base64.b64encode("grün".encode("latin-1")).decode()}
    assert "text" not in output


async def test_own_idempotency_key_is_kept_when_headers_bring_one(server: Server) -> None:
    sent = (await rest(url=server.url, method="put", headers={"idempotency-key": "mine", "X-N": 5}))["json"]
    assert (sent["headers"]["idempotency-key"], sent["headers"]["x-n"]) == ("mine", "5")


async def test_user_is_authenticated_when_name_and_password_are_given(server: Server) -> None:
    sent = (await rest(url=server.url, username="ann", password="hush"))["json"]
    assert sent["headers"]["authorization"] == "Basic " + base64.b64encode(b"ann:hush").decode()


@pytest.mark.parametrize(("path", "text"), [("latin", "grün"), ("broken-json", "{"), ("bogus-charset", "grün")])
async def test_text_comes_back_when_the_response_is_no_json(server: Server, path: str, text: str) -> None:
    output = await rest(base_url=server.url, path=path)
    assert output["text"] == text
    assert "json" not in output


async def test_status_url_and_beginning_are_shown_without_secrets_when_a_status_is_unexpected(server: Server) -> None:
    kind, message = await refusal(
        url=f"http://ann:hush@127.0.0.1:{server.server_port}/status/500?token=t0ken&page=2",
        headers={"Authorization": "Bearer s3cret"},
        method="post",
    )
    assert kind == "ConnectorError"
    assert "status 500 Internal Server Error" in message
    assert "/status/500?token=********&page=2" in message
    assert "no: Basic ********" in message
    assert len(message) < 700
    for secret in ("hush", "t0ken", "s3cret"):
        assert secret not in message


@pytest.mark.parametrize("expected", [404, [200, 404]])
async def test_status_is_no_error_when_it_is_expected(server: Server, expected: Any) -> None:
    assert (await rest(url=f"{server.url}/status/404", expected_status_code=expected))["status_code"] == 404
    assert (await refusal(url=f"{server.url}/status/204", expected_status_code=expected))[0] == "ConnectorError"


async def test_redirect_is_followed_unless_it_is_switched_off(server: Server) -> None:
    assert (await rest(url=f"{server.url}/redirect"))["json"]["path"] == "/landed"
    output = await rest(url=f"{server.url}/redirect", follow_redirects=False, expected_status_code=302)
    assert output["headers"]["location"] == "/landed"


async def test_same_key_is_sent_again_when_a_request_is_retried(server: Server) -> None:
    output = await rest(url=f"{server.url}/fails/2", method="post", retries=2, retry_backoff=0)
    assert output["status_code"] == 200
    assert [request["headers"]["idempotency-key"] for request in server.seen] == [KEY] * 3


async def test_attempts_are_counted_when_all_of_them_fail(server: Server) -> None:
    _, message = await refusal(url=f"{server.url}/fails/9", retries=2, retry_backoff=0)
    assert "after 3 attempts): busy" in message
    await refusal(url=f"{server.url}/status/404", retries=2, retry_backoff=0)
    assert len(server.seen) == 4


async def test_limit_is_named_when_the_response_takes_too_long(server: Server) -> None:
    _, message = await refusal(url=f"{server.url}/slow", timeout=0.05)
    assert "within 0.05 s" in message


async def test_connection_error_keeps_its_words(server: Server) -> None:
    assert "without sending complete message body" in (await refusal(url=f"{server.url}/cut"))[1]
    server.shutdown()
    server.server_close()
    assert "onnect" in (await refusal(url=server.url))[1]


async def test_response_is_refused_when_it_is_too_large(server: Server) -> None:
    assert "larger than 16 MiB" in (await refusal(url=f"{server.url}/large"))[1]


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({}, "MissingInputError", "url, base_url"),
        ({"url": "http://x", "methud": "get"}, "ExtraInputError", "unknown input methud"),
        ({"url": "http://x", "json": 1, "text": ""}, "ExtraInputError", "json and text exclude"),
        ({"url": "http://x", "path": "y"}, "InvalidInputError", "path goes with base_url"),
        ({"url": "ftp://ann:hush@x"}, "InvalidInputError", "ftp://********@x"),
        ({"url": "http://[x"}, "InvalidInputError", "no address"),
        ({"url": "http://x", "method": "brew"}, "InvalidInputError", "method must be one of get"),
        ({"url": "http://x", "password": 12345}, "InvalidInputError", "password must be a text, not an integer"),
        ({"url": "http://x", "timeout": True}, "InvalidInputError", "timeout must be a number, not true or false"),
        ({"url": "http://x", "timeout": 0}, "InvalidInputError", "timeout must be at least 0.001"),
        ({"url": "http://x", "retries": -1}, "InvalidInputError", "retries must be at least 0"),
        ({"url": "http://x", "headers": {"token": "a\nb"}}, "InvalidInputError", "'token' in input headers"),
        ({"url": "http://x", "headers": {"n": None}}, "InvalidInputError", "n in input headers"),
        ({"url": "http://x", "expected_status_code": ["200"]}, "InvalidInputError", "expected_status_code"),
    ],
)
async def test_field_is_named_when_an_input_is_wrong(inputs: dict[str, Any], kind: str, words: str) -> None:
    found, message = await refusal(**inputs)
    assert (found, words in message) == (kind, True), message
    assert "hush" not in message
