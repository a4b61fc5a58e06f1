"""New seeds for the generators of random numbers whose state two forks of one savepoint share."""

from __future__ import annotations

import os
import sys


def reseed() -> None:
    """Those of random, numpy.random and OpenSSL, where they are loaded; nothing is imported for it.

    The kernel's numbers need none: a restored process has no state of theirs.
    """
    loaded = sys.modules
    # A script's own module of that name has no such thing.
    shared = getattr(loaded.get("random"), "_inst", None)
    if shared is not None:
        shared.seed()
    numpy_random = loaded.get("numpy.random")
    if numpy_random is not None:
        try:  # noqa: SIM105 - contextlib would be in every savepoint
            numpy_random.seed(list(os.urandom(64)))
        except TypeError:
            pass  # the script has put a generator of another kind in its place
    if "_ssl" in loaded:
        # OpenSSL draws on what is added here at its next number, whatever else it knows.
        loaded["_ssl"].RAND_add(os.urandom(64), 64.0)
