"""LDAP on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from connector_servers import HOST, Endpoint, call, free_port, refusal

BASE = "ou=people,dc=example,dc=com"
ANN = f"cn=Änne,{BASE}"


@pytest.fixture
async def directory(slapd: Endpoint) -> AsyncIterator[dict[str, Any]]:
    """One with a unit that has one person in it, as inputs."""
    where = {**slapd(), "tls": "off"}
    await call("LDAP", **where, action="add", dn=BASE, attributes={"objectClass": "organizationalUnit"})
    person = {"objectClass": "inetOrgPerson", "sn": "Ö", "mail": ["a@example.com", "b@example.com"]}
    await call("LDAP", **where, action="add", dn=ANN, attributes=person)
    yield where
    entries = (await call("LDAP", **where, base=BASE))["entries"]
    for entry in sorted(entries, key=lambda entry: -len(entry["dn"])):
        await call("LDAP", **where, action="delete", dn=entry["dn"])


async def test_entries_are_found_when_they_were_added(directory: dict[str, Any]) -> None:
    found = await call("LDAP", **directory, base=BASE, filter="(mail=a*)", attributes=["sn", "mail"])
    assert found["entries"] == [{"dn": ANN, "attributes": {"sn": ["Ö"], "mail": ["a@example.com", "b@example.com"]}}]
    assert len((await call("LDAP", **directory, base=BASE))["entries"]) == 2
    assert len((await call("LDAP", **directory, base=BASE, limit=1))["entries"]) == 1
    assert len((await call("LDAP", **directory, base=BASE, scope="one"))["entries"]) == 1


async def test_entry_has_other_values_when_it_was_changed(directory: dict[str, Any]) -> None:
    changes = {"mail": {"delete": "a@example.com", "add": ["c@example.com"]}, "sn": {"replace": ["P"]}}
    await call("LDAP", **directory, action="modify", dn=ANN, changes=changes)
    await call("LDAP", **directory, action="rename", dn=ANN, new_rdn="cn=Bob")
    [entry] = (await call("LDAP", **directory, base=BASE, scope="one", attributes=["mail", "sn"]))["entries"]
    assert entry["dn"] == f"cn=Bob,{BASE}"
    assert entry["attributes"] == {"mail": ["b@example.com", "c@example.com"], "sn": ["P"]}


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({"password": "wrong-one"}, "ConnectorError", "logging in"),
        ({"base": "dc=no"}, "ConnectorError", "noSuchObject"),
        ({"filter": "(("}, "ConnectorError", "filter"),
        ({"action": "add"}, "MissingInputError", "dn is required for add"),
        ({"action": "modify", "dn": ANN, "changes": {"sn": {"swap": "x"}}}, "InvalidInputError", "sn in input changes"),
    ],
)
async def test_what_is_wrong_is_named_when_a_directory_refuses(
    directory: dict[str, Any], inputs: dict[str, Any], kind: str, words: str
) -> None:
    found, message = await refusal("LDAP", **{**directory, **inputs})
    assert (found, words in message) == (kind, True), message


async def test_connecting_is_tried_again_when_no_directory_listens() -> None:
    where = {"host": HOST, "port": free_port(), "tls": "off"}
    assert "connecting (after 2 attempts)" in (await refusal("LDAP", **where, retries=1, retry_backoff=0))[1]
