"""Encrypted connections, and those that go to an address that was judged for a name."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from certificates import NAME, Certificate
from connector_servers import HOST, PASSWORD, Endpoint, SshServer, call, free_port, refusal
from postgres_server import PostgresServer

from controller.connectors import http
from controller.connectors.reach import only_to


class Named(BaseHTTPRequestHandler):
    """Answers the host that it was asked for."""

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["Host"].encode())


@pytest.fixture
def https(certificate: Certificate) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with ThreadingHTTPServer((HOST, 0), Named) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(
    params=["REST", "REDIS", "SMTP-starttls", "IMAP-tls", "IMAP-starttls", "MYSQL", "LDAP-tls", "LDAP-starttls"]
)
def encrypted(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any], str]:
    """A type, the inputs of a call to a server that has the certificate, and the input that is its host."""
    kind, _, way = request.param.partition("-")
    if kind == "REST":
        return kind, {"url": f"https://{HOST}:{request.getfixturevalue('https')}/"}, "url"
    if kind == "SMTP":
        where, _ = request.getfixturevalue("smtp")
        return kind, {**where, "tls": way, "check_only": True}, "host"
    names = {"REDIS": "redis_server", "IMAP": "dovecot", "MYSQL": "mariadb", "LDAP": "slapd"}
    server: Endpoint = request.getfixturevalue(names[kind])
    port = server.tls_port if way == "tls" or kind == "REDIS" else server.port
    asked: dict[str, dict[str, Any]] = {
        "REDIS": {"tls": True, "command": "PING"},
        "IMAP": {"tls": way, "action": "folders", "username": f"user{free_port()}"},
        "MYSQL": {"tls": "verify", "fetchval": "SELECT 1"},
        "LDAP": {"tls": way, "scope": "base"},
    }
    return kind, {**server(), "port": port, **asked[kind]}, "host"


def named(inputs: dict[str, Any], name: str) -> dict[str, Any]:
    return {**inputs, name: inputs[name].replace(HOST, NAME)}


def unchecked(kind: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {**inputs, "tls": "on"} if kind == "MYSQL" else {**inputs, "verify_ssl": False}


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The controller's host trusts the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    http._ssl_context.cache_clear()
    yield
    http._ssl_context.cache_clear()


@pytest.mark.usefixtures("trusted")
async def test_certificate_is_checked_for_the_name_when_the_call_goes_to_its_judged_address(
    encrypted: tuple[str, dict[str, Any], str],
) -> None:
    kind, inputs, name = encrypted
    with only_to({NAME: HOST}):
        answer = await call(kind, **named(inputs, name))
        if kind == "REST":
            assert answer["text"].partition(":")[0] == NAME
    with only_to({"other.test": HOST}):
        other = {**inputs, name: inputs[name].replace(HOST, "other.test")}
        assert "certificate" in (await refusal(kind, **other))[1].lower()
    await call(kind, **unchecked(kind, inputs))


async def test_call_is_refused_when_nobody_vouches_for_the_certificate(
    encrypted: tuple[str, dict[str, Any], str],
) -> None:
    kind, inputs, name = encrypted
    with only_to({NAME: HOST}):
        error, message = await refusal(kind, **named(inputs, name))
        assert (error, "certificate" in message.lower()) == ("ConnectorError", True), message


@pytest.mark.parametrize("kind", ["FTP", "GIT", "IMAP", "LDAP", "MYSQL", "REDIS", "SFTP", "SMTP", "SQLPG", "WEBDAV"])
async def test_call_goes_to_the_address_that_was_judged_for_its_host(
    kind: str, request: pytest.FixtureRequest, sshd: SshServer
) -> None:
    fixtures = {"FTP": "ftp_server", "IMAP": "dovecot", "LDAP": "slapd", "MYSQL": "mariadb", "REDIS": "redis_server"}
    match kind:
        case "GIT":
            ssh = sshd()
            url = f"ssh://{ssh['username']}@{NAME}:{ssh['port']}/nowhere"
            asked = {"repository_url": url, "key": ssh["key"], "hostkey": ssh["hostkey"]}
        case "SFTP":
            asked = {**sshd(), "host": NAME, "action": "list", "path": "/"}
        case "SMTP":
            asked = {**request.getfixturevalue("smtp")[0], "host": NAME, "check_only": True}
        case "SQLPG":
            server: PostgresServer = request.getfixturevalue("postgres")
            del server
            asked = {"host": NAME, "port": free_port(), "fetch": "SELECT 1"}
        case "WEBDAV":
            port = request.getfixturevalue("webdav_server").port
            asked = {"base_url": f"http://{NAME}:{port}/", "username": "ann", "password": PASSWORD, "action": "list"}
        case _:
            more = {
                "FTP": {"action": "list", "path": "."},
                "IMAP": {"tls": "off", "action": "folders", "username": f"user{free_port()}"},
                "LDAP": {"tls": "off", "scope": "base"},
                "MYSQL": {"fetchval": "SELECT 1"},
                "REDIS": {"command": "PING"},
            }
            asked = {**request.getfixturevalue(fixtures[kind])(), "host": NAME, **more[kind]}
    with only_to({NAME: HOST}):
        if kind == "GIT":
            # The server was reached, and has no such repository.
            assert "does not appear to be a git repository" in (await refusal(kind, **asked))[1]
        elif kind == "SQLPG":
            assert f'"{HOST}"' in (await refusal(kind, **asked))[1]
        else:
            await call(kind, **asked)
