"""A session on an SSH server: log-in and host key, for the connectors that need one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from controller.connectors.errors import invalid, refused, words
from controller.connectors.inputs import Input, Inputs, login
from controller.connectors.reach import socket_to

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection

SESSION: Inputs = MappingProxyType(
    {
        "host": Input((str,), "name or address of the server", required=True, place=True),
        "port": Input((int,), "TCP port", default=22, minimum=1, place=True),
        **login(),
        "key": Input((str,), "private key: the text of its file", secret=True),
        "key_passphrase": Input((str,), "what opens the private key", secret=True),
        "hostkey": Input(
            (str, list),
            "public keys that the server may have, as in known_hosts without the name; else those that"
            " the controller's user knows",
            place=True,
        ),
        "check_host_key": Input((bool,), "false: whoever answers is taken for the server", default=True, place=True),
    }
)


def endpoint(values: dict[str, Any]) -> str:
    """The server in words."""
    return f"{values['username'] or ''}@{values['host']}:{values['port']}".removeprefix("@")


@asynccontextmanager
async def ssh_session(values: dict[str, Any]) -> AsyncIterator[SSHClientConnection]:
    """Log in, and out. Raises ConnectorError: transient when the server was not reached."""
    import asyncssh

    options: dict[str, Any] = {
        "port": values["port"],
        "username": values["username"] or (),
        "password": values["password"],
        # Neither the agent nor the keys of the controller's user: a flow must not act as the controller.
        "agent_path": None,
        "client_keys": _client_keys(values),
        "config": None,
        "login_timeout": values["timeout"],
        "connect_timeout": values["timeout"],
    }
    known = _known_hosts(values)
    if known is not Ellipsis:
        options["known_hosts"] = known
    where = endpoint(values)
    try:
        options["sock"] = await socket_to(values["host"], values["port"])
        session = await asyncssh.connect(values["host"], **options)
    except asyncssh.HostKeyNotVerifiable as error:
        raise refused(
            f"{where}: the server's key is not among the known ones ({error}); compare it, and give it as hostkey"
        ) from error
    except asyncssh.PermissionDenied as error:
        raise refused(f"{where}: logging in", words(error)) from error
    except (asyncssh.Error, OSError, ValueError) as error:
        raise refused(f"{where}: connecting", words(error), transient=isinstance(error, OSError)) from error
    try:
        async with session:
            yield session
    except asyncssh.ConnectionLost as error:
        raise refused(f"{where}: the connection was lost", words(error)) from error


def _client_keys(values: dict[str, Any]) -> list[Any] | None:
    import asyncssh

    if values["key"] is None:
        return None
    try:
        return [asyncssh.import_private_key(values["key"], values["key_passphrase"])]
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise invalid(f"input key is no private key that can be read: {error}") from error


def _known_hosts(values: dict[str, Any]) -> Any:
    """For asyncssh: None for no check, an ellipsis for the known_hosts of the controller's user."""
    import asyncssh

    if not values["check_host_key"]:
        return None
    given = values["hostkey"]
    if given is None:
        return ...
    lines = given if isinstance(given, list) else given.splitlines()
    try:
        return [asyncssh.import_public_key(line.strip()) for line in lines if line.strip()], [], []
    except (asyncssh.KeyImportError, AttributeError) as error:
        raise invalid(f"input hostkey is no public key: {error}") from error
