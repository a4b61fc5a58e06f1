"""The SMTP connector: one message, sent."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from email.message import EmailMessage
from email.utils import formatdate, getaddresses
from typing import Any, ClassVar

from controller.connectors.contents import to_bytes
from controller.connectors.errors import invalid, missing, refused, words
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, login, texts
from controller.connectors.reach import socket_to

_RECIPIENTS = ("to", "cc", "bcc")
_PORTS = {"tls": 465, "starttls": 587, "off": 25}


class SmtpConnector:
    """Output: message_id, and rejected: an object of the recipients that the server refused while it took others.

    A message sent again for the same call has the same Message-ID, so that readers can drop one.
    """

    summary = "An e-mail, sent"
    inputs: ClassVar[Inputs] = {
        "host": Input((str,), "name or address of the server", required=True, place=True),
        "port": Input((int,), "TCP port; otherwise 465 for tls, 587 for starttls, 25 for off", minimum=1, place=True),
        "tls": Input((str,), "how the connection is encrypted", default="starttls", choices=tuple(_PORTS), place=True),
        "verify_ssl": Input((bool,), "check the server's certificate", default=True, place=True),
        **login(),
        "from": Input((str,), 'sender; "Ann <ann@example.com>" (in a flow: from_=)'),
        "to": Input((str, list), "a recipient or several"),
        "cc": Input((str, list), "a recipient or several"),
        "bcc": Input((str, list), "a recipient or several, whom the others don't see"),
        "reply_to": Input((str, list), "where answers go"),
        "subject": Input((str,), "the subject", default=""),
        "text": Input((str,), "the text"),
        "html": Input((str,), "the text as HTML; with text, that is for readers without HTML"),
        "attachments": Input(
            (list,), 'objects of file_name, content (text or {"base64": "..."}) and content_type', default=[]
        ),
        "headers": Input((dict,), "further header fields", default={}),
        "check_only": Input((bool,), "connect and log in, and send nothing", default=False),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"check_only": True}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [values["host"]]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """The key becomes the Message-ID."""
        import aiosmtplib

        port = values["port"] or _PORTS[values["tls"]]
        where = f"{values['host']}:{port}"
        message, recipients = (None, []) if values["check_only"] else _message(values, idempotency_key)
        client = aiosmtplib.SMTP(
            hostname=values["host"],
            use_tls=values["tls"] == "tls",
            start_tls=values["tls"] == "starttls",
            validate_certs=values["verify_ssl"],
            username=values["username"],
            password=values["password"],
            timeout=values["timeout"],
        )
        try:
            judged = await socket_to(values["host"], port)
            # It takes a socket or a port.
            await client.connect(**({"port": port} if judged is None else {"sock": judged}))
        except aiosmtplib.SMTPAuthenticationError as error:
            raise refused(f"{where}: logging in", words(error)) from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            unreached = isinstance(error, aiosmtplib.SMTPConnectError | OSError)
            raise refused(f"{where}: connecting", words(error), transient=unreached) from error
        try:
            if message is None:
                await client.noop()
                return {}
            sender = getaddresses([values["from"]])[0][1]
            rejected, _ = await client.send_message(message, sender=sender, recipients=recipients)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise refused(f"{where}: sending", words(error)) from error
        finally:
            # No polite QUIT: what was accepted is accepted, and a failure now must not look like one of the sending.
            if isinstance(client.transport, asyncio.WriteTransport):
                # Nor does TLS wait for the other side's goodbye.
                client.transport.abort()
            client.close()
        return {
            "message_id": message["Message-ID"],
            "rejected": {address: f"{code} {said}" for address, (code, said) in rejected.items()},
        }


def _message(values: dict[str, Any], idempotency_key: str) -> tuple[EmailMessage, list[str]]:
    """The message and whom it goes to. Raises ConnectorError."""
    if not values["from"]:
        raise missing("input from is required (in a flow: from_=)")
    if values["text"] is None and values["html"] is None:
        raise missing("one of the inputs text, html is required")
    lists = {name: texts(values, name) for name in (*_RECIPIENTS, "reply_to")}
    recipients = [address for _, address in getaddresses([text for name in _RECIPIENTS for text in lists[name]])]
    if not recipients or not all(recipients):
        raise missing("at least one recipient is required, in the inputs to, cc or bcc")
    message = EmailMessage()
    _set_head(message, values, lists, idempotency_key)
    if values["text"] is not None:
        message.set_content(values["text"])
        if values["html"] is not None:
            message.add_alternative(values["html"], subtype="html")
    else:
        message.set_content(values["html"], subtype="html")
    for number, attachment in enumerate(values["attachments"], 1):
        _attach(message, attachment, number)
    return message, recipients


def _set_head(message: EmailMessage, values: dict[str, Any], lists: dict[str, list[str]], idempotency_key: str) -> None:
    try:
        message["From"], message["Subject"] = values["from"], values["subject"]
        for name in ("to", "cc", "reply_to"):
            if lists[name]:
                message[name.replace("_", "-").title()] = ", ".join(lists[name])
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = f"<{hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]}@flowsnap>"
        for name, value in values["headers"].items():
            del message[name]
            message[name] = str(value)
    except (ValueError, IndexError) as error:
        raise invalid(f"a header field can't be sent: {error}") from error


def _attach(message: EmailMessage, attachment: Any, number: int) -> None:
    known = {"file_name", "content", "content_type"}
    if not isinstance(attachment, dict) or not set(attachment) <= known or "content" not in attachment:
        raise invalid(f"attachment {number} must be an object of file_name, content and content_type")
    name = str(attachment.get("file_name") or f"attachment-{number}")
    kind = attachment.get("content_type") or mimetypes.guess_type(name)[0] or "application/octet-stream"
    main, _, sub = str(kind).partition("/")
    content = to_bytes(attachment["content"], f"attachments, {name}")
    message.add_attachment(content, maintype=main, subtype=sub or "octet-stream", filename=name)
