"""The IMAP connector: messages in a mailbox, found, read, moved, deleted."""

from __future__ import annotations

import base64
import imaplib
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from controller.connectors.blocking import in_thread
from controller.connectors.errors import invalid, refused, words
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, login, needed
from controller.connectors.mail import message_record
from controller.connectors.reach import address_of
from controller.connectors.tls import tls_context

_PORTS = {"tls": 993, "starttls": 143, "off": 143}
_LIST_LINE = re.compile(rb'\((?P<flags>[^)]*)\) (?:"[^"]*"|NIL) (?P<name>.+)', re.DOTALL)
_LAST_TERM = re.compile(r'(?:"([^"]*)"|(?<!\S)(\S+))\s*$')
_FLAG = re.compile(r"\\?[A-Za-z0-9$_-]+")
_MAX_FETCHED_BYTES = 11 * 1024 * 1024


class ImapConnector:
    """Output: folders (folders), uids (search), messages (fetch), otherwise nothing.

    A message has uid, flags, size, date (ISO 8601), message_id, subject, from, to, cc, headers, text, html and
    attachments: objects of file_name, content_type, size and, with attachments=True, content.
    """

    summary = "Messages in a mailbox"
    inputs: ClassVar[Inputs] = {
        "host": Input((str,), "name or address of the server", required=True, place=True),
        "port": Input((int,), "TCP port; otherwise 993 for tls, 143", minimum=1, place=True),
        "tls": Input((str,), "how the connection is encrypted", default="tls", choices=tuple(_PORTS), place=True),
        "verify_ssl": Input((bool,), "check the server's certificate", default=True, place=True),
        **login(),
        "action": Input(
            (str,),
            "what to do",
            default="search",
            choices=("folders", "search", "fetch", "move", "copy", "delete", "flag", "unflag"),
        ),
        "folder": Input((str,), "where the messages are", default="INBOX"),
        "criteria": Input((str,), 'for search, as RFC 3501 has it: UNSEEN SUBJECT "offer"', default="ALL"),
        "uids": Input((list,), "which messages: integers that search gave"),
        "to": Input((str,), "the other folder, for move and copy"),
        "flags": Input((list,), r"for flag and unflag: \Seen, \Flagged, ..."),
        "attachments": Input((bool,), "fetch gives the content of attachments too", default=False),
        "limit": Input((int,), "search gives at most so many, the newest", default=1000, minimum=1),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"action": "folders"}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [values["host"]]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """A server has no place for the key, so it goes unused."""
        del idempotency_key
        return await in_thread(_run, values)


def _run(values: dict[str, Any]) -> dict[str, Any]:
    action = values["action"]
    with _session(values) as session:
        try:
            if action == "folders":
                return {"folders": sorted(name for line in _asked(session.list()) if (name := _folder(line)))}
            _asked(session.select(_quoted(values["folder"]), readonly=action in {"search", "fetch", "copy"}))
            if action == "search":
                return {"uids": _search(session, values)}
            uids = _uids(values)
            if not uids:
                return {"messages": []} if action == "fetch" else {}
            if action == "fetch":
                return {"messages": _fetch(session, uids, with_content=values["attachments"])}
            _change(session, action, uids, values)
        except (imaplib.IMAP4.error, OSError) as error:
            raise refused(f"{_where(values)}: {action} in {values['folder']}", words(error)) from error
    return {}


def _where(values: dict[str, Any]) -> str:
    return f"{values['host']}:{values['port'] or _PORTS[values['tls']]}"


class _Plain(imaplib.IMAP4):
    """Connects to the address that was judged."""

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return socket.create_connection((address_of(self.host), self.port), timeout)


class _Encrypted(imaplib.IMAP4_SSL):
    """As _Plain; the certificate is still the host's."""

    def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
        plain = socket.create_connection((address_of(self.host), self.port), timeout)
        context: ssl.SSLContext = self.ssl_context
        return context.wrap_socket(plain, server_hostname=self.host)


@contextmanager
def _session(values: dict[str, Any]) -> Iterator[imaplib.IMAP4]:
    """Logged in. Raises ConnectorError: transient when the server was not reached."""
    where, port = _where(values), values["port"] or _PORTS[values["tls"]]
    context = tls_context(verify=values["verify_ssl"])
    try:
        session = (
            _Encrypted(values["host"], port, ssl_context=context, timeout=values["timeout"])
            if values["tls"] == "tls"
            else _Plain(values["host"], port, timeout=values["timeout"])
        )
    except (imaplib.IMAP4.error, OSError) as error:
        raise refused(f"{where}: connecting", words(error), transient=True) from error
    with session:
        try:
            if values["tls"] == "starttls":
                session.starttls(context)
            if values["username"] is not None:
                session.login(values["username"], values["password"] or "")
        except (imaplib.IMAP4.error, OSError) as error:
            # There may be nobody left to say goodbye to, as the end of the block does.
            session.state = "LOGOUT"
            with suppress(OSError):
                session.shutdown()
            raise refused(f"{where}: logging in", words(error)) from error
        yield session


def _asked(answer: tuple[str, list[Any]]) -> list[Any]:
    """The answer's data. Raises the library's error for a refusal, with the server's words."""
    kind, data = answer
    if kind != "OK":
        said = b" ".join(part for part in data if isinstance(part, bytes)).decode("utf-8", "replace")
        raise imaplib.IMAP4.error(said or kind)
    return data


def _search(session: imaplib.IMAP4, values: dict[str, Any]) -> list[int]:
    criteria = values["criteria"]
    if "\r" in criteria or "\n" in criteria:
        raise invalid("input criteria must be one line")
    charset: list[str] = []
    if not criteria.isascii():
        # A literal is what the protocol has for text beyond ASCII, and the library takes one at the end.
        last = _LAST_TERM.search(criteria)
        if last is None or not criteria[: last.start()].isascii():
            raise invalid("of input criteria only the last term may have characters beyond ASCII")
        charset, criteria = ["CHARSET", "UTF-8"], criteria[: last.start()].rstrip()
        session.literal = (last[1] or last[2]).encode()  # type: ignore[assignment]  # its stubs know None alone
    data = _asked(session.uid("SEARCH", *charset, criteria))
    return [int(number) for number in (data[0] or b"").split()][-values["limit"] :]


def _fetch(session: imaplib.IMAP4, uids: list[int], *, with_content: bool) -> list[dict[str, Any]]:
    messages = []
    size_bytes = 0
    for uid in uids:
        data = _asked(session.uid("FETCH", str(uid), "(FLAGS BODY.PEEK[])"))
        for part in data:
            if not isinstance(part, tuple):
                continue
            head, content = part
            size_bytes += len(content)
            if size_bytes > _MAX_FETCHED_BYTES:
                raise refused(
                    f"the messages are larger than {_MAX_FETCHED_BYTES // 1024**2} MiB; fetch fewer of them at once"
                )
            # Flags may stand before the body or behind it.
            lines = head + b" ".join(other for other in data if isinstance(other, bytes))
            flags = [flag.decode() for flag in imaplib.ParseFlags(lines)]
            messages.append({"uid": uid, "flags": flags, **message_record(content, with_content=with_content)})
    return messages


def _change(session: imaplib.IMAP4, action: str, uids: list[int], values: dict[str, Any]) -> None:
    which = ",".join(map(str, uids))
    match action:
        case "copy":
            _asked(session.uid("COPY", which, _quoted(needed(values, "to", action))))
        case "move" if "MOVE" in session.capabilities:
            _asked(session.uid("MOVE", which, _quoted(needed(values, "to", action))))
        case "move":
            _asked(session.uid("COPY", which, _quoted(needed(values, "to", action))))
            _remove(session, which)
        case "delete":
            _remove(session, which)
        case _:
            flags = needed(values, "flags", action)
            if not all(isinstance(flag, str) and _FLAG.fullmatch(flag) for flag in flags):
                raise invalid(r"input flags must be a list of flags such as \Seen")
            _asked(session.uid("STORE", which, "+FLAGS" if action == "flag" else "-FLAGS", f"({' '.join(flags)})"))


def _remove(session: imaplib.IMAP4, which: str) -> None:
    _asked(session.uid("STORE", which, "+FLAGS", r"(\Deleted)"))
    if "UIDPLUS" in session.capabilities:
        # Nothing else that is marked as deleted goes with it.
        _asked(session.uid("EXPUNGE", which))
    else:
        _asked(session.expunge())


def _uids(values: dict[str, Any]) -> list[int]:
    uids = needed(values, "uids", values["action"])
    if not all(isinstance(uid, int) and not isinstance(uid, bool) and uid > 0 for uid in uids):
        raise invalid("input uids must be a list of integers above 0")
    return list(uids)


def _folder(line: Any) -> str:
    """The name in one line of LIST; folders that can't be selected give nothing."""
    found = _LIST_LINE.match(line) if isinstance(line, bytes) else None
    if found is None or b"\\Noselect" in found["flags"]:
        return ""
    name = found["name"].strip()
    if name.startswith(b'"'):
        name = re.sub(rb"\\(.)", rb"\1", name[1:-1])
    return _from_mutf7(name.decode("ascii", "replace"))


def _quoted(name: str) -> str:
    if "\r" in name or "\n" in name:
        raise invalid("a folder's name must be one line")
    escaped = _to_mutf7(name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _to_mutf7(name: str) -> str:
    """RFC 3501, 5.1.3: UTF-7 with & for + and a comma for the slash."""

    def encoded(found: re.Match[str]) -> str:
        return "&" + base64.b64encode(found[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"

    return re.sub(r"[^\x20-\x7e]+", encoded, name.replace("&", "&-"))


def _from_mutf7(name: str) -> str:
    def decoded(found: re.Match[str]) -> str:
        text = found[1].replace(",", "/")
        if not text:
            return "&"
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode("utf-16-be", "replace")

    return re.sub(r"&([^-&]*)-", decoded, name)
