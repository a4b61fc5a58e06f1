"""The demo's remote API: refuses the first upload with 503, takes all later ones, and prints what it was sent.

usage: server.py PORT_FILE; listens on 127.0.0.1, on a free port that it writes into PORT_FILE once it listens.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class UploadHandler(BaseHTTPRequestHandler):
    """Counts the uploads of the whole server."""

    uploads = 0

    def do_POST(self) -> None:
        """Refuse the first, take the others."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        UploadHandler.uploads += 1
        status = HTTPStatus.SERVICE_UNAVAILABLE if UploadHandler.uploads == 1 else HTTPStatus.CREATED
        sys.stdout.write(f"POST {self.path} -> {status.value} {status.phrase}: {body}\n")
        sys.stdout.flush()
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing more: do_POST prints one line for each request."""


def main() -> None:
    """Serve until killed."""
    with HTTPServer(("127.0.0.1", 0), UploadHandler) as server:
        port_file = Path(sys.argv[1])
        unfinished = port_file.with_suffix(".new")
        unfinished.write_text(f"{server.server_port}\n")
        unfinished.rename(port_file)
        server.serve_forever()


if __name__ == "__main__":
    main()
