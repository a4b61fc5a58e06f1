"""The FTP connector: files on an FTP server."""

from __future__ import annotations

import ftplib
import io
from collections.abc import Callable
from typing import Any, ClassVar

from controller.connectors.blocking import in_thread
from controller.connectors.contents import BINARY, CONTENT, MAX_CONTENT_BYTES, from_bytes, to_bytes, too_large
from controller.connectors.errors import invalid, refused, words
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, login, needed
from controller.connectors.reach import address_of
from controller.connectors.tls import tls_context


class FtpConnector:
    """Output: content (get), entries: objects of name, type, size and modified (list), otherwise nothing."""

    summary = "A file on an FTP or FTPS server"
    inputs: ClassVar[Inputs] = {
        "host": Input((str,), "name or address of the server", required=True, place=True),
        "port": Input((int,), "TCP port", default=21, minimum=1, place=True),
        "tls": Input((bool,), "encrypt both connections (FTPS, explicit)", default=False, place=True),
        "verify_ssl": Input((bool,), "check the server's certificate", default=True, place=True),
        **login(),
        "action": Input(
            (str,), "what to do", default="get", choices=("get", "put", "list", "delete", "rename", "mkdir", "rmdir")
        ),
        "path": Input((str,), "the file or folder on the server", required=True),
        "to": Input((str,), "the new path, for rename"),
        "content": CONTENT,
        "binary": BINARY,
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"action": "list", "path": "."}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [values["host"]]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """An upload is the same when it is done twice, so the key goes unused."""
        del idempotency_key
        return await in_thread(_run, values)


def _run(values: dict[str, Any]) -> dict[str, Any]:
    where, action, path = f"{values['host']}:{values['port']}", values["action"], values["path"]
    for name in ("path", "to"):
        if any(mark in (values[name] or "") for mark in "\r\n\0"):
            # Behind a line break the server would take it for another command.
            raise invalid(f"input {name} must be one line")
    with _client(values) as client:
        try:
            client.connect(address_of(values["host"]), values["port"], timeout=values["timeout"])
            # Of that name the certificate has to be.
            client.host = values["host"]
        except (*ftplib.all_errors,) as error:
            raise refused(f"{where}: connecting", words(error), transient=True) from error
        try:
            client.login(values["username"] or "anonymous", values["password"] or "")
            if isinstance(client, ftplib.FTP_TLS):
                client.prot_p()
        except ftplib.all_errors as error:
            raise refused(f"{where}: logging in", words(error)) from error
        try:
            return _carry_out(client, values)
        except ftplib.all_errors as error:
            raise refused(f"{where}: {action} {path}", words(error)) from error


def _client(values: dict[str, Any]) -> ftplib.FTP:
    if not values["tls"]:
        # Whoever names such a server has no other.
        return ftplib.FTP(encoding="utf-8")  # noqa: S321
    context = tls_context(verify=values["verify_ssl"])
    return ftplib.FTP_TLS(context=context, encoding="utf-8")  # noqa: S321  this one encrypts


def _carry_out(client: ftplib.FTP, values: dict[str, Any]) -> dict[str, Any]:
    action, path = values["action"], values["path"]
    match action:
        case "get":
            content = bytearray()
            client.retrbinary(f"RETR {path}", _collect(content, path))
            return {"content": from_bytes(bytes(content), path, binary=values["binary"])}
        case "put":
            client.storbinary(f"STOR {path}", io.BytesIO(to_bytes(needed(values, "content", action), "content")))
        case "list":
            return {"entries": _list(client, path)}
        case "delete":
            client.delete(path)
        case "rename":
            client.rename(path, needed(values, "to", action))
        case "mkdir":
            client.mkd(path)
        case _:
            client.rmd(path)
    return {}


def _collect(content: bytearray, path: str) -> Callable[[bytes], object]:
    def add(part: bytes) -> None:
        content.extend(part)
        if len(content) > MAX_CONTENT_BYTES:
            raise too_large(path)

    return add


def _list(client: ftplib.FTP, path: str) -> list[dict[str, Any]]:
    try:
        facts = list(client.mlsd(path))
    except ftplib.error_perm as error:
        if not str(error).startswith(("500", "502")):
            raise
        # A server of before RFC 3659: names are all that it says in a form to rely on.
        return [
            {"name": name.rpartition("/")[2], "type": None, "size": None, "modified": None}
            for name in client.nlst(path)
        ]
    return [
        {
            "name": name,
            "type": {"dir": "folder"}.get(fact.get("type", ""), fact.get("type")),
            "size": int(fact["size"]) if "size" in fact else None,
            "modified": _time(fact.get("modify")),
        }
        for name, fact in facts
        if fact.get("type") not in {"cdir", "pdir"}
    ]


def _time(stamp: str | None) -> str | None:
    """YYYYMMDDHHMMSS, in UTC, as ISO 8601."""
    if stamp is None:
        return None
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T{stamp[8:10]}:{stamp[10:12]}:{stamp[12:14]}+00:00"
