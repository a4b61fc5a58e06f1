"""The LDAP connector: entries of a directory, found and changed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from controller.connectors.blocking import in_thread
from controller.connectors.contents import in_base64
from controller.connectors.errors import invalid, refused, words
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, login, needed
from controller.connectors.reach import address_of
from controller.connectors.tls import tls_context

if TYPE_CHECKING:
    from ldap3 import Connection

_SCOPES = {"base": "BASE", "one": "LEVEL", "subtree": "SUBTREE"}
_CHANGES = {"add": "MODIFY_ADD", "replace": "MODIFY_REPLACE", "delete": "MODIFY_DELETE"}
_PORTS = {"tls": 636, "starttls": 389, "off": 389}
_PAGE = 500
_MAX_ENTRIES = 100_000


class LdapConnector:
    """Output: entries (search), objects of dn and attributes, each attribute a list of values; otherwise nothing.

    Values are texts as the directory has them; bytes that are no UTF-8 come as {"base64": "..."}.
    """

    summary = "Entries of an LDAP directory"
    inputs: ClassVar[Inputs] = {
        "host": Input((str,), "name or address of the server", required=True, place=True),
        "port": Input((int,), "TCP port; otherwise 636 for tls, 389", minimum=1, place=True),
        "tls": Input((str,), "how the connection is encrypted", default="tls", choices=tuple(_PORTS), place=True),
        "verify_ssl": Input((bool,), "check the server's certificate", default=True, place=True),
        **login(username="name (DN) to bind as; without one the bind is anonymous"),
        "action": Input(
            (str,), "what to do", default="search", choices=("search", "add", "modify", "delete", "rename")
        ),
        "base": Input((str,), "search: where to begin", default=""),
        "filter": Input((str,), "search: as RFC 4515 has it", default="(objectClass=*)"),
        "scope": Input((str,), "search: how deep", default="subtree", choices=tuple(_SCOPES)),
        "attributes": Input((list, dict), "search: names, otherwise all; add: an object of values or lists of them"),
        "limit": Input((int,), "search: at most so many", default=1000, minimum=1),
        "dn": Input((str,), "the entry to add, modify, delete or rename"),
        "changes": Input((dict,), 'modify: {"mail": {"replace": ["a@example.com"]}}; also add and delete'),
        "new_rdn": Input((str,), "rename: the new first part of the name"),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"action": "search", "base": "", "scope": "base", "filter": "(objectClass=*)"}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [values["host"]]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """A directory has no place for the key, so it goes unused."""
        del idempotency_key
        return await in_thread(_run, values)


def _run(values: dict[str, Any]) -> dict[str, Any]:
    from ldap3 import NONE, SYNC, Connection, Server, Tls
    from ldap3.core.exceptions import LDAPBindError, LDAPException, LDAPInvalidCredentialsResult

    port = values["port"] or _PORTS[values["tls"]]
    where = f"{values['host']}:{port}"
    host, address = values["host"], address_of(values["host"])

    class HostTls(Tls):
        """Checks the certificate for the host, and in the handshake: the library does so later, and by itself."""

        def wrap_socket(self, connection: Connection, do_handshake: bool = False) -> None:
            del do_handshake
            context = tls_context(verify=values["verify_ssl"])
            connection.socket = context.wrap_socket(connection.socket, server_hostname=host)

    server = Server(
        address, port, use_ssl=values["tls"] == "tls", tls=HostTls(), connect_timeout=values["timeout"], get_info=NONE
    )
    connection = Connection(
        server,
        values["username"],
        values["password"],
        client_strategy=SYNC,
        receive_timeout=max(1, round(values["timeout"])),
        raise_exceptions=True,
        # A server could send the password on to any other.
        auto_referrals=False,
        check_names=False,
        auto_range=True,
    )
    try:
        try:
            connection.open()
            if values["tls"] == "starttls":
                connection.start_tls()
        except (LDAPException, OSError) as error:
            if connection.socket is not None:
                # The library leaves it open.
                connection.socket.close()
            raise refused(f"{where}: connecting", words(error), transient=True) from error
        try:
            connection.bind()
        except (LDAPBindError, LDAPInvalidCredentialsResult) as error:
            raise refused(f"{where}: logging in", words(error)) from error
        return _carry_out(connection, values)
    except (LDAPException, OSError) as error:
        raise refused(f"{where}: {values['action']}", words(error)) from error
    finally:
        # There may be nobody left to say goodbye to.
        with suppress(LDAPException, OSError):
            connection.unbind()


def _carry_out(connection: Connection, values: dict[str, Any]) -> dict[str, Any]:
    action = values["action"]
    if action == "search":
        return {"entries": _search(connection, values)}
    dn = needed(values, "dn", action)
    match action:
        case "add":
            attributes = needed(values, "attributes", action)
            if not isinstance(attributes, dict):
                raise invalid("input attributes must be an object for add")
            connection.add(dn, attributes=attributes)
        case "modify":
            connection.modify(dn, _changes(needed(values, "changes", action)))
        case "delete":
            connection.delete(dn)
        case _:
            connection.modify_dn(dn, needed(values, "new_rdn", action))
    return {}


def _search(connection: Connection, values: dict[str, Any]) -> list[dict[str, Any]]:
    names = values["attributes"]
    if isinstance(names, dict):
        raise invalid("input attributes must be a list of names for search")
    limit = min(values["limit"], _MAX_ENTRIES)
    found = connection.extend.standard.paged_search(
        values["base"],
        values["filter"],
        search_scope=_SCOPES[values["scope"]],
        attributes=names or ["*"],
        paged_size=min(limit, _PAGE),
        generator=True,
    )
    entries: list[dict[str, Any]] = []
    for entry in found:
        if entry["type"] != "searchResEntry":
            # A referral to another server.
            continue
        attributes = entry["raw_attributes"]
        entries.append(
            {"dn": entry["dn"], "attributes": {name: [_to_json(v) for v in raw] for name, raw in attributes.items()}}
        )
        if len(entries) == limit:
            break
    return entries


def _changes(given: dict[str, Any]) -> dict[str, list[Any]]:
    changes: dict[str, list[Any]] = {}
    for name, change in given.items():
        if not isinstance(change, dict) or not change or not set(change) <= set(_CHANGES):
            raise invalid(f"{name} in input changes must be an object of {', '.join(_CHANGES)}")
        changes[name] = [
            (_CHANGES[kind], values if isinstance(values, list) else [values]) for kind, values in change.items()
        ]
    return changes


def _to_json(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return in_base64(value)
