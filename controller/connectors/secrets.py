"""Keeping secrets out of what people read: listings and error messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

MASK = "********"

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|token|secret|authori[sz]ation|credential|cookie|key(?!word)", re.IGNORECASE
)
_USER_INFO = re.compile(r"(?<=://)[^/?#\s@]*@")
_QUERY_ARGUMENT = re.compile(r"(?<=[?&])([^=&#\s]+)=([^&#\s]*)")
# Shorter ones would blank out half of a message, and are no secrets.
_SHORTEST = 3


def is_secret(name: str) -> bool:
    """Whether a field of that name is taken for a secret."""
    return _SECRET_NAME.search(name) is not None


def mask(value: Any, name: str = "") -> Any:
    """A connection's value, for listings: with secret fields and credentials within URLs replaced."""
    if isinstance(value, Mapping):
        return {key: mask(item, str(key)) for key, item in value.items()}
    if is_secret(name) and value not in (None, ""):
        return MASK
    if isinstance(value, list):
        return [mask(item) for item in value]
    return without_credentials(value) if isinstance(value, str) else value


def without_credentials(text: str) -> str:
    """Text with the user part and the secret arguments of URLs in it replaced."""
    text = _USER_INFO.sub(f"{MASK}@", text)
    return _QUERY_ARGUMENT.sub(lambda found: f"{found[1]}={MASK}" if is_secret(found[1]) else found[0], text)


def redact(text: str, inputs: Any) -> str:
    """Text in which whatever stands in a secret field of the inputs is replaced, also where it is quoted for a URL."""
    for secret in sorted(set(_secrets(inputs, secret=False)), key=len, reverse=True):
        for form in (secret, quote(secret, safe="")):
            text = text.replace(form, MASK)
    return without_credentials(text)


def _secrets(value: Any, *, secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(item, secret=secret or is_secret(str(key)))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, secret=secret)
    elif secret and isinstance(value, str):
        # "Bearer abc" comes back as "abc" from many a server.
        yield from (part for part in {value, value.rpartition(" ")[2]} if len(part) >= _SHORTEST)
