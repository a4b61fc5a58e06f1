"""Errors of the store, named by what the caller can do about them.

StoreError              the folder can't be read or written: the message carries the kernel's words
├── StoreFull           no room, no quota left, or mounted read-only: make room, then put again
├── ImageMissing        no savepoint image of that id: look at the list
└── ImageDamaged        a stored file is not what was written: another savepoint may still be good
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

# A read-only file system is "full" too: kernels remount one so after an I/O error, and the remedy is the operator's.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class StoreError(Exception):
    """What failed, on what, in the kernel's words, and what to do next."""


class StoreFull(StoreError):
    """Nothing more can be written; what had been begun is removed again."""


class ImageMissing(StoreError):
    """No committed savepoint image has that id."""


class ImageDamaged(StoreError):
    """A file of the store is not what was sealed, can't be opened with its keys, or a part of the image is gone."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn an OSError into StoreFull or StoreError; doing is the half sentence that names what failed on what."""
    try:
        yield
    except OSError as error:
        raise from_os_error(doing, error) from error


def from_os_error(doing: str, error: OSError) -> StoreError:
    """The StoreError for an OSError, with the kernel's words and its path."""
    words = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
    if error.errno == errno.EROFS:
        return StoreFull(f"{doing}: {words}. Find out why (dmesg), and mount it writable again.")
    if error.errno in _FULL:
        return StoreFull(f"{doing}: {words}. Make room (remove executions, collect garbage, a larger disk); try again.")
    return StoreError(f"{doing}: {words}. Check that it exists and that this process may read and write it.")
