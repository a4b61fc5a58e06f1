"""An SMTP server as a program, with STARTTLS; each message becomes a JSON file.

usage: smtp_server.py PORT FOLDER USER PASSWORD CERTIFICATE KEY
"""

from __future__ import annotations

import json
import signal
import ssl
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword


class Mailbox:
    """Takes messages for everybody but nobody."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        number = len(list(self._folder.iterdir()))
        record = {"to": envelope.rcpt_tos, "content": envelope.content.decode("utf-8", "surrogateescape")}
        (self._folder / f"{number:03}.json").write_text(json.dumps(record))
        return "250 taken"


def main(port: int, folder: Path, username: str, password: str, certificate: str, key: str) -> None:
    def authenticated(server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        right = isinstance(given, LoginPassword) and (given.login, given.password) == (
            username.encode(),
            password.encode(),
        )
        return AuthResult(success=right, handled=False)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    controller = Controller(
        Mailbox(folder),
        "127.0.0.1",
        port,
        authenticator=authenticated,
        auth_required=True,
        auth_require_tls=False,
        tls_context=context,
    )
    controller.start()
    signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
