"""Keeping secrets out of what people read: listings, records and error messages."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, quote_plus, unquote

MASK = "********"

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|token|secret|authori[sz]ation|credential|cookie|key(?!word)", re.IGNORECASE
)
_USER_INFO = re.compile(r"(?<=://)[^/?#\s@]*@")
# Without ? in the name: else each one in a row of them would look at all that follow.
_QUERY_ARGUMENT = re.compile(r"(?<=[?&])([^=?&#\s]+)=([^&#\s]*)")
# Shorter ones would blank out half of a message, and are no secrets.
_SHORTEST = 3
_SHORTEST_LINE = 16
_SCHEME = re.compile(r"(?:basic|bearer|digest|token|apikey|negotiate) +", re.IGNORECASE)


# What a schema says of top-level fields: whether they are secret. It comes before the names.
Declared = Mapping[str, bool]


def is_secret(name: str) -> bool:
    """Whether a field of that name is taken for a secret."""
    return _SECRET_NAME.search(name) is not None


def mask(value: Any, declared: Declared = MappingProxyType({})) -> Any:
    """The value for people to see: secret fields at any depth, and credentials within URLs, replaced."""
    if isinstance(value, Mapping):
        return {
            key: MASK if declared.get(key, is_secret(str(key))) and item not in (None, "") else mask(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [mask(item) for item in value]
    return without_credentials(value) if isinstance(value, str) else value


def without_credentials(text: str) -> str:
    """Text with the user part and the secret arguments of URLs in it replaced."""
    text = _USER_INFO.sub(f"{MASK}@", text)
    return _QUERY_ARGUMENT.sub(lambda found: f"{found[1]}={MASK}" if is_secret(found[1]) else found[0], text)


def redact(text: str, inputs: Any, declared: Declared = MappingProxyType({})) -> str:
    """Text in which whatever stands in a secret field of the inputs is replaced, also where it comes back encoded."""
    found = _basic_authentication(inputs)
    for secret in _secrets(inputs, declared, secret=False):
        found |= {secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}
    for form in sorted(found, key=len, reverse=True):
        text = text.replace(form, MASK)
    return without_credentials(text)


def _secrets(value: Any, declared: Declared, *, secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(item, {}, secret=secret or declared.get(key, is_secret(str(key))))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, {}, secret=secret)
    elif secret and value is not None and not isinstance(value, bool):
        yield from _parts(str(value))
    elif isinstance(value, str):
        for user_info in _USER_INFO.findall(value):
            pair = user_info[:-1]
            if len(pair.partition(":")[2]) >= _SHORTEST:
                yield from (pair.partition(":")[2], _basic(unquote(pair)))


def _parts(secret: str) -> Iterator[str]:
    """What servers and libraries repeat: all of it, one line of a private key, "abc" of "Bearer abc"."""
    parts = {secret, *(line for line in secret.splitlines() if len(line) >= _SHORTEST_LINE)}
    if scheme := _SCHEME.match(secret):
        parts.add(secret[scheme.end() :])
    return (part for part in parts if len(part) >= _SHORTEST)


def _basic(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def _basic_authentication(inputs: Any) -> set[str]:
    """How user name and password look in a request that a server repeats."""
    if not isinstance(inputs, Mapping) or not isinstance(inputs.get("password"), str):
        return set()
    username = inputs.get("username")
    return {_basic(f"{username if isinstance(username, str) else ''}:{inputs['password']}")}
