"""Contents that leave the page as files, and never run in it."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response


def attachment(name: str, content: bytes, media_type: str = "application/octet-stream") -> Response:
    """Saved by the browser under that name, whatever it holds."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_. ") else "_" for letter in name)
    return Response(
        content,
        media_type=media_type,
        headers={
            "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
            # Also where somebody opens it in the browser after all.
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        },
    )
