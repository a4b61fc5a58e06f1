"""What this.connect reaches, by connection type; each is imported with its first use.

Plug-ins are entry points of the group flowsnap.connectors: the name is the connection type, the object a class as
controller.connectors.guard.Kind describes it. They may use what stands in __all__ here.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from controller.connectors.errors import ConnectorError, extra, invalid, missing, refused
from controller.connectors.inputs import ANY, ATTEMPTS, Input, Inputs
from controller.connectors.reach import address_of

if TYPE_CHECKING:
    from controller.connectors.guard import Guard

__all__ = [
    "ANY",
    "ATTEMPTS",
    "ConnectorError",
    "Input",
    "Inputs",
    "address_of",
    "connector",
    "connectors",
    "extra",
    "invalid",
    "missing",
    "refused",
]

ENTRY_POINTS = "flowsnap.connectors"

_BUILT_IN = {
    "FTP": "ftp:FtpConnector",
    "GIT": "git:GitConnector",
    "IMAP": "imap:ImapConnector",
    "LDAP": "ldap:LdapConnector",
    "MYSQL": "sql:MysqlConnector",
    "REDIS": "redis:RedisConnector",
    "REST": "rest:RestConnector",
    "S3": "s3:S3Connector",
    "SCP": "ssh_files:ScpConnector",
    "SFTP": "ssh_files:SftpConnector",
    "SMTP": "smtp:SmtpConnector",
    "SOAP": "soap:SoapConnector",
    "SQLITE": "sqlite:SqliteConnector",
    "SQLPG": "sql:PostgresConnector",
    "SSH": "ssh:SshConnector",
    "WEBDAV": "webdav:WebdavConnector",
    "XMLRPC": "xmlrpc:XmlrpcConnector",
}

_log = logging.getLogger(__name__)


def connectors() -> Mapping[str, Callable[[], Guard]]:
    """Every connection type that there is here, and what makes its connector."""
    found: dict[str, Callable[[], Guard]] = {
        connector_type: functools.partial(_built_in, connector_type, place)
        for connector_type, place in _BUILT_IN.items()
    }
    for plug_in in entry_points(group=ENTRY_POINTS):
        if plug_in.name in found:
            _log.warning("the plug-in %s is left out: there is a connector %s already", plug_in.value, plug_in.name)
        else:
            found[plug_in.name] = functools.partial(_plugged_in, plug_in)
    return found


def connector(connector_type: str) -> Guard:
    """The connector of a type. Raises ConnectorError (InvalidInputError) for an unknown one."""
    known = connectors()
    factory = known.get(connector_type)
    if factory is None:
        raise invalid(f"connection type {connector_type!r} is unknown; known are {', '.join(sorted(known))}")
    return factory()


def _built_in(connector_type: str, place: str) -> Guard:
    from controller.connectors.guard import Guard

    module, _, name = place.partition(":")
    return Guard(connector_type, getattr(import_module(f"controller.connectors.{module}"), name)())


def _plugged_in(plug_in: EntryPoint) -> Guard:
    """Raises ConnectorError when the plug-in can't be loaded."""
    from controller.connectors.guard import Guard

    try:
        return Guard(plug_in.name, plug_in.load()())
    except Exception as error:
        raise refused(
            f"the plug-in {plug_in.value} of connection type {plug_in.name} can't be loaded: {type(error).__name__}:"
            f" {error}; correct or uninstall its package"
        ) from error
