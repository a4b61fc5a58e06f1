"""Sealing: every file of the store is encrypted and authenticated under a key of its own.

A sealed file begins with its head: magic, format version (32 bits, little-endian), id of the store's key, salt. The
file's key is the BLAKE3 of the head, keyed by the store's key, so that a head that was changed opens nothing. A file's
parts are sealed by AES-256-GCM, each under its number as the nonce: none can stand in another's place, and no number is
used twice under one key.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Mapping
from typing import Final

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from store.key_file import ID_BYTES

_SALT_BYTES: Final = 20
_HEAD: Final = struct.Struct(f"<4sI{ID_BYTES}s{_SALT_BYTES}s")
HEAD_BYTES: Final = _HEAD.size
_NONCE_BYTES: Final = 12


class SealError(ValueError):
    """What stands there was not sealed here, or not as this part; the message says which."""


class Seal:
    """Seals and opens the parts of one file. Thread-safe."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, number: int, content: bytes) -> bytes:
        """The part's ciphertext, 16 bytes longer than the content. A number is used once."""
        return self._cipher.encrypt(number.to_bytes(_NONCE_BYTES, "little"), content, None)

    def open(self, number: int, sealed: bytes | memoryview) -> bytes:
        """The content. Raises SealError when this is not the part with that number, to the last bit."""
        try:
            return self._cipher.decrypt(number.to_bytes(_NONCE_BYTES, "little"), sealed, None)
        except InvalidTag as error:
            raise SealError("it is not what was sealed") from error


class Keyring:
    """The keys of a store, the newest first: that one seals. source: where they come from, for people."""

    def __init__(self, keys: Mapping[bytes, bytes], source: str) -> None:
        self._keys = keys
        self._source = source
        self._newest = next(iter(keys))

    def begin(self, magic: bytes, version: int) -> tuple[bytes, Seal]:
        """The head of a new file, and its seal."""
        head = _HEAD.pack(magic, version, self._newest, secrets.token_bytes(_SALT_BYTES))
        return head, _seal(head, self._keys[self._newest])

    def resume(self, head: bytes, magic: bytes, version: int, what: str) -> Seal:
        """The seal of the file with that head. Raises SealError. what: the kind of file, for the words."""
        if len(head) != HEAD_BYTES:
            raise SealError("the file is too short")
        found_magic, found_version, key_id, _ = _HEAD.unpack(head)
        if (found_magic, found_version) != (magic, version):
            raise SealError(f"it doesn't begin as a {what} of format {version} does")
        key = self._keys.get(key_id)
        if key is None:
            raise SealError(
                f"it was sealed under the key {key_id.hex()}, which is not in {self._source}: put that key back"
            )
        return _seal(head, key)


def _seal(head: bytes, key: bytes) -> Seal:
    return Seal(blake3(head, key=key).digest())
