"""A message of Internet mail as JSON."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any

from controller.connectors.contents import in_base64


def message_record(content: bytes, *, with_content: bool) -> dict[str, Any]:
    """What ImapConnector says that a message has, but for uid and flags; mail is often malformed, and read anyway."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    return {
        "size": len(content),
        "date": _date(message),
        "message_id": _header(message, "Message-ID"),
        "subject": _header(message, "Subject"),
        "from": _header(message, "From"),
        "to": _header(message, "To"),
        "cc": _header(message, "Cc"),
        "headers": {name: str(value) for name, value in message.items()},
        "text": _body(message, "plain"),
        "html": _body(message, "html"),
        "attachments": [_attachment(part, with_content=with_content) for part in message.iter_attachments()],
    }


def _header(message: EmailMessage, name: str) -> str | None:
    value = message[name]
    return None if value is None else str(value)


def _date(message: EmailMessage) -> str | None:
    try:
        return parsedate_to_datetime(str(message["Date"])).isoformat()
    except ValueError:
        return None


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    if part is None:
        return None
    try:
        return str(part.get_content())
    except (LookupError, UnicodeError):
        # A charset that nobody knows.
        return _bytes(part).decode("utf-8", "replace")


def _attachment(part: Any, *, with_content: bool) -> dict[str, Any]:
    content = _bytes(part)
    record = {"file_name": part.get_filename(), "content_type": part.get_content_type(), "size": len(content)}
    return {**record, "content": in_base64(content)} if with_content else record


def _bytes(part: Any) -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    # A message within the message has parts and no payload.
    return b"".join(inner.as_bytes() for inner in part.get_payload()) if isinstance(part.get_payload(), list) else b""
