"""TLS as all connectors have it: the authorities that the controller's host trusts, and the server's name."""

from __future__ import annotations

import ssl


def tls_context(*, verify: bool) -> ssl.SSLContext:
    """For a client; without verify whoever answers is taken for the server."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
