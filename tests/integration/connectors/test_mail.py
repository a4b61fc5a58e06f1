"""SMTP and IMAP on real servers."""

from __future__ import annotations

import email
import email.policy
import imaplib
from typing import Any

import pytest
from connector_servers import HOST, PASSWORD, Endpoint, TakenMail, call, free_port, refusal


async def test_message_arrives_with_its_parts_when_it_is_sent(smtp: tuple[dict[str, Any], TakenMail]) -> None:
    where, mailbox = smtp
    message = {
        "from": "Änne <ann@example.com>",
        "to": ["bob@example.com", "Nobody <nobody@example.com>"],
        "bcc": "secret@example.com",
        "subject": "Grüße",
        "text": "Hallo Wörld",
        "html": "<b>Hallo</b>",
        "attachments": [{"file_name": "ä.bin", "content": {"base64": "AP8="}}],
        "headers": {"X-Flow": "1"},
    }
    output = await call("SMTP", **where, **message)
    assert output["rejected"] == {"nobody@example.com": "550 no such user"}
    found = mailbox.newest()
    assert mailbox.records()[0]["to"] == ["bob@example.com", "secret@example.com"]
    assert (found["Subject"], found["X-Flow"], found["Bcc"]) == ("Grüße", "1", None)
    assert found["Message-ID"] == output["message_id"]
    assert found.get_body(("plain",)).get_content().strip() == "Hallo Wörld"
    assert found.get_body(("html",)).get_content().strip() == "<b>Hallo</b>"
    [attachment] = found.iter_attachments()
    assert (attachment.get_filename(), attachment.get_payload(decode=True)) == ("ä.bin", b"\x00\xff")
    assert (await call("SMTP", **where, **message))["message_id"] == output["message_id"]


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({}, "MissingInputError", "input from"),
        ({"from": "a@b.c"}, "MissingInputError", "text, html"),
        ({"from": "a@b.c", "text": "x"}, "MissingInputError", "recipient"),
        ({"from": "a@b.c", "text": "x", "to": [1]}, "InvalidInputError", "input to"),
        ({"from": "a@b.c", "text": "x", "to": "b@b.c", "subject": "a\nb"}, "InvalidInputError", "header field"),
        ({"from": "a@b.c", "text": "x", "to": "b@b.c", "attachments": [1]}, "InvalidInputError", "attachment 1"),
        ({"from": "a@b.c", "text": "x", "to": "nobody@b.c"}, "ConnectorError", "no such user"),
        ({"from": "a@b.c", "text": "x", "to": "b@b.c", "password": "wrong-one"}, "ConnectorError", "logging in"),
    ],
)
async def test_what_is_wrong_is_named_when_a_message_is_refused(
    smtp: tuple[dict[str, Any], TakenMail], inputs: dict[str, Any], kind: str, words: str
) -> None:
    where, mailbox = smtp
    found, message = await refusal("SMTP", **{**where, **inputs})
    assert (found, words in message) == (kind, True), message
    assert mailbox.records() == []


async def test_nothing_is_sent_when_a_server_is_only_checked(smtp: tuple[dict[str, Any], TakenMail]) -> None:
    where, mailbox = smtp
    assert await call("SMTP", **where, check_only=True) == {}
    assert mailbox.records() == []


@pytest.mark.parametrize("kind", ["SMTP", "IMAP"])
async def test_connecting_is_tried_again_when_no_mail_server_listens(kind: str) -> None:
    inputs = {"check_only": True} if kind == "SMTP" else {}
    where = {"host": HOST, "port": free_port(), "tls": "off", **inputs}
    assert "connecting (after 2 attempts)" in (await refusal(kind, **where, retries=1, retry_backoff=0))[1]


@pytest.fixture
def mailbox(dovecot: Endpoint) -> dict[str, Any]:
    """An account with three messages, as inputs."""
    where = {**dovecot(), "username": f"user{free_port()}", "tls": "off"}
    with imaplib.IMAP4(dovecot.host, dovecot.port) as session:
        session.login(where["username"], PASSWORD)
        session.create("Archive")
        session.create('"Entw&APw-rfe"')
        for number in (1, 2, 3):
            message = email.message.EmailMessage(policy=email.policy.SMTP)
            message["Subject"], message["From"], message["To"] = f"Grüße {number}", "bob@example.com", "ann@example.com"
            message["Date"] = "Thu, 29 Feb 2024 10:00:00 +0100"
            message.set_content(f"text {number}")
            message.add_attachment(b"\x00\xff", maintype="application", subtype="pdf", filename="a.pdf")
            session.append("INBOX", None, None, message.as_bytes())
    return where


async def test_messages_are_found_and_read_when_a_mailbox_has_some(mailbox: dict[str, Any]) -> None:
    assert (await call("IMAP", **mailbox, action="folders"))["folders"] == ["Archive", "Entwürfe", "INBOX"]
    uids = (await call("IMAP", **mailbox))["uids"]
    assert len(uids) == 3
    assert (await call("IMAP", **mailbox, criteria='SUBJECT "Grüße 2"'))["uids"] == [uids[1]]
    assert (await call("IMAP", **mailbox, limit=1))["uids"] == uids[2:]
    [message] = (await call("IMAP", **mailbox, action="fetch", uids=uids[:1], attachments=True))["messages"]
    assert (message["uid"], message["subject"], message["from"]) == (uids[0], "Grüße 1", "bob@example.com")
    assert (message["text"].strip(), message["html"]) == ("text 1", None)
    assert message["date"] == "2024-02-29T10:00:00+01:00"
    assert message["attachments"] == [
        {"file_name": "a.pdf", "content_type": "application/pdf", "size": 2, "content": {"base64": "AP8="}}
    ]
    # Reading leaves them as new as they were.
    assert (await call("IMAP", **mailbox, criteria="UNSEEN"))["uids"] == uids


async def test_messages_go_where_they_are_sent_when_moved_flagged_or_deleted(mailbox: dict[str, Any]) -> None:
    first, second, third = (await call("IMAP", **mailbox))["uids"]
    await call("IMAP", **mailbox, action="move", uids=[first], to="Archive")
    await call("IMAP", **mailbox, action="copy", uids=[second], to="Entwürfe")
    await call("IMAP", **mailbox, action="flag", uids=[second], flags=["\\Seen"])
    await call("IMAP", **mailbox, action="delete", uids=[third])
    assert (await call("IMAP", **mailbox))["uids"] == [second]
    assert (await call("IMAP", **mailbox, criteria="UNSEEN"))["uids"] == []
    await call("IMAP", **mailbox, action="unflag", uids=[second], flags=["\\Seen"])
    assert (await call("IMAP", **mailbox, criteria="UNSEEN"))["uids"] == [second]
    for folder in ("Archive", "Entwürfe"):
        assert len((await call("IMAP", **mailbox, folder=folder))["uids"]) == 1


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({"password": "wrong-one"}, "ConnectorError", "logging in"),
        ({"folder": "Nowhere"}, "ConnectorError", "Nowhere"),
        ({"criteria": "ALL\r\nLOGOUT"}, "InvalidInputError", "one line"),
        ({"action": "fetch"}, "MissingInputError", "uids is required for fetch"),
        ({"action": "fetch", "uids": ["1:*"]}, "InvalidInputError", "integers"),
        ({"action": "flag", "uids": [1], "flags": ["\\Seen) X"]}, "InvalidInputError", "flags"),
    ],
)
async def test_what_is_wrong_is_named_when_a_mailbox_refuses(
    mailbox: dict[str, Any], inputs: dict[str, Any], kind: str, words: str
) -> None:
    found, message = await refusal("IMAP", **{**mailbox, **inputs})
    assert (found, words in message) == (kind, True), message
