"""Where a flow may lead a connector by itself."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from controller.connectors import ConnectorError, connector, connectors
from controller.connectors.reach import address_of, judge, led_by_flow, only_to

# What leads each kind to a server of the controller's own host; both of the ways where there are two.
OWN = [
    ("FTP", {"host": "127.0.0.1", "path": "x"}),
    ("GIT", {"repository_url": "https://127.0.0.1/x.git"}),
    ("GIT", {"repository_url": "git@localhost:x.git"}),
    ("GIT", {"repository_url": "/srv/x.git"}),
    ("GIT", {"repository_url": "file:///srv/x.git"}),
    ("IMAP", {"host": "localhost"}),
    ("LDAP", {"host": "::1"}),
    ("MYSQL", {"fetch": "SELECT 1"}),
    ("MYSQL", {"host": "/run/mysqld/mysqld.sock", "fetch": "SELECT 1"}),
    ("REDIS", {"command": "PING"}),
    ("REST", {"url": "http://127.0.0.1/"}),
    ("REST", {"base_url": "http://[::ffff:127.0.0.1]:9/", "path": "x"}),
    ("REST", {"url": "http://203.0.113.1/", "follow_redirects": True}),
    ("S3", {"endpoint_url": "http://localhost:9000", "bucket": "b", "key": "k"}),
    ("SCP", {"host": "127.0.0.1", "path": "x"}),
    ("SFTP", {"host": "127.0.0.1", "path": "x"}),
    ("SMTP", {"host": "127.0.0.1", "check_only": True}),
    ("SOAP", {"wsdl": "http://203.0.113.1/"}),
    ("SQLITE", {"path": "/etc/x.db", "fetch": "SELECT 1"}),
    ("SQLPG", {"fetch": "SELECT 1"}),
    ("SQLPG", {"host": "/run/postgresql", "fetch": "SELECT 1"}),
    ("SQLPG", {"host": "@abstract", "fetch": "SELECT 1"}),
    ("SSH", {"host": "127.0.0.1", "command": "true"}),
    ("WEBDAV", {"base_url": "http://127.0.0.1/"}),
    ("XMLRPC", {"url": "http://127.0.0.1/", "method": "m"}),
]


async def refusal(connector_type: str, **inputs: Any) -> tuple[str, str]:
    with pytest.raises(ConnectorError) as caught:
        await connector(connector_type).call(inputs, idempotency_key="k", led_by_flow=True)
    return caught.value.error_type, str(caught.value)


@pytest.mark.parametrize("kind", sorted(connectors()))
def test_every_kind_says_which_inputs_lead_somewhere(kind: str) -> None:
    assert connector(kind).places
    assert kind in dict(OWN)


@pytest.mark.parametrize(("kind", "inputs"), OWN)
async def test_controllers_own_host_is_refused_when_a_flow_leads_there(kind: str, inputs: dict[str, Any]) -> None:
    error_type, message = await refusal(kind, **inputs)
    assert (error_type, f"snapctl connection save NAME --type {kind} -v " in message) == ("PermissionDenied", True)


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0x7f.1",
        "2130706433",
        "127.8.9.1",
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "fe80::1%lo",
        "224.0.0.1",
        "ff02::1",
        "fd00:ec2::254",
        "LOCALHOST",
        "@socket",
        "/run/x",
    ],
)
async def test_address_is_refused_when_it_is_of_the_host_or_its_link(host: str) -> None:
    with pytest.raises(ConnectorError) as caught:
        await judge([host])
    assert caught.value.error_type == "PermissionDenied"


def own_addresses() -> set[str]:
    return set(re.findall(r"-- (\S+)\n\s+/32 host LOCAL", Path("/proc/net/fib_trie").read_text()))


async def test_address_is_refused_when_an_interface_of_the_host_has_it() -> None:
    own = own_addresses()
    assert "127.0.0.1" in own
    for address in own:
        with pytest.raises(ConnectorError, match="is the controller's own host or link"):
            await judge([address])


@pytest.mark.parametrize("host", ["", "a,b", "a b", "-x", "a\nb", "user@host", "host:1", "ldapi:%2Frun", "[::1"])
async def test_host_is_refused_when_it_is_not_one_host(host: str) -> None:
    with pytest.raises(ConnectorError) as caught:
        await judge([host])
    assert caught.value.error_type == "InvalidInputError"


async def test_finding_a_name_is_tried_again_when_there_is_none() -> None:
    with pytest.raises(ConnectorError, match="finding its address") as caught:
        await judge(["no-such-name.invalid"])
    assert caught.value.transient


async def test_any_bad_address_of_a_name_is_enough_when_it_has_several(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (address, 0)) for address in ("203.0.113.1", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
    with pytest.raises(ConnectorError, match=r"two\.example is the controller's own host or link"):
        await judge(["two.example"])


async def test_judged_address_is_the_one_to_connect_to_when_a_flow_leads() -> None:
    assert await judge(["203.0.113.1", "2001:db8::1"]) == {"203.0.113.1": "203.0.113.1", "2001:db8::1": "2001:db8::1"}
    assert not led_by_flow()
    with only_to({"host": "203.0.113.1"}):
        assert (led_by_flow(), address_of("host"), address_of("other")) == (True, "203.0.113.1", "other")
    assert (led_by_flow(), address_of("host")) == (False, "host")


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("GIT", {"repository_url": "https://203.0.113.1\\@127.0.0.1/x.git"}),
        ("GIT", {"repository_url": "https://203.0.113.1?@127.0.0.1/x.git"}),
        ("GIT", {"repository_url": "ssh://127.0.0.1%2f@203.0.113.1@127.0.0.1/x"}),
        ("S3", {"bucket": "arn:aws:s3:us-east-1:123456789012:accesspoint/x", "endpoint_url": "http://203.0.113.1"}),
        ("REST", {"base_url": "http://203.0.113.1/a", "path": "b/../../c"}),
        ("REST", {"base_url": "http://203.0.113.1/a", "path": "%2e%2e/c"}),
        ("REST", {"url": "http://203.0.113.1/", "headers": {"host": "other"}}),
        ("WEBDAV", {"base_url": "http://203.0.113.1/a", "path": "../c"}),
        ("WEBDAV", {"base_url": "http://203.0.113.1/a", "path": "x", "action": "move", "to": "..\\c"}),
    ],
)
async def test_input_is_refused_when_it_could_lead_elsewhere_than_it_says(kind: str, inputs: dict[str, Any]) -> None:
    error_type, message = await refusal(kind, **inputs)
    assert error_type == "InvalidInputError", message


async def test_path_stays_with_the_host_of_its_base(free_tcp_port: int) -> None:
    for path in ("@203.0.113.1/", "//203.0.113.1/", "\\\\203.0.113.1", ":80@203.0.113.1", "http://203.0.113.1/"):
        inputs = {"base_url": f"http://127.0.0.1:{free_tcp_port}", "path": path}
        with pytest.raises(ConnectorError, match=rf"^REST: GET http://127\.0\.0\.1:{free_tcp_port}/.*attempts failed"):
            await connector("REST").call(inputs, idempotency_key="k")
