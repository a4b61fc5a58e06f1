"""Identifiers: short, lower-case, unique, and in order of time when sorted as text."""

from __future__ import annotations

import secrets
import time

# Crockford's base 32: digits sort before letters, and no letter looks like a digit.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARACTERS = 8  # of centiseconds since 1970: enough until the year 2318
_RANDOM_CHARACTERS = 6  # 2^30 ids per centisecond


def new_id() -> str:
    """An id of 14 characters with at least one letter, so that it is never taken for a number."""
    while True:
        made = _base32(time.time_ns() // 10_000_000, _TIME_CHARACTERS) + _base32(
            secrets.randbits(5 * _RANDOM_CHARACTERS), _RANDOM_CHARACTERS
        )
        if not made.isdigit():
            return made


def new_savepoint_id() -> str:
    """As new_id, told apart from an execution's by its prefix."""
    return f"sp-{new_id()}"


def _base32(number: int, width: int) -> str:
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * (width - 1), -1, -5))
