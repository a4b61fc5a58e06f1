"""Secrets at rest: sealed with AES-256-GCM under the keys of one file, each bound to the record it belongs to.

The key file is a store.key_file.KeyFile. A sealed secret is a version byte, the key's id (4 bytes), a nonce (12 bytes)
and the ciphertext with its tag.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from controller.errors import DataLoss, FailedPrecondition, Unavailable
from store.key_file import ID_BYTES, KeyFile, KeyFileDamaged

_VERSION = b"\x01"
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + ID_BYTES + _NONCE_BYTES


class SecretBox:
    """Seals and opens. The file is made, mode 0600, when something is sealed for the first time."""

    def __init__(self, path: Path) -> None:
        self._file = KeyFile(path)

    def seal(self, content: bytes, record: str) -> bytes:
        """Ciphertext that opens for the same record alone, so that it can't be moved to another one.

        Raises Unavailable when the key file can't be made or read.
        """
        key_id, key = next(iter(self._keys(create=True).items()))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + key_id + nonce + AESGCM(key).encrypt(nonce, content, record.encode())

    def open(self, sealed: bytes, record: str) -> bytes:
        """The content. Raises FailedPrecondition for a key that is not in the file, DataLoss for a damaged secret."""
        key_id = sealed[len(_VERSION) : len(_VERSION) + ID_BYTES]
        key = self._keys(create=False).get(key_id)
        if not sealed.startswith(_VERSION) or len(sealed) < _HEAD_BYTES:
            raise DataLoss(f"the secrets of {record} are damaged in the database; save them again")
        if key is None:
            raise FailedPrecondition(
                f"the secrets of {record} were sealed with the key {key_id.hex()}, which is not in {self._file.path};"
                " put that file back from a backup, or save the secrets again"
            )
        try:
            nonce = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
            return AESGCM(key).decrypt(nonce, sealed[_HEAD_BYTES:], record.encode())
        except InvalidTag as error:
            raise DataLoss(f"the secrets of {record} are damaged in the database; save them again") from error

    def add_key(self) -> None:
        """A new key seals from now on; older ones still open."""
        with self._translated():
            self._file.add()

    def drop_old_keys(self) -> None:
        """Only the newest stays. What older ones sealed can't be opened any more: seal it anew before."""
        with self._translated():
            self._file.drop_old()

    def _keys(self, *, create: bool) -> Mapping[bytes, bytes]:
        with self._translated():
            return self._file.keys(create=create)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        path = self._file.path
        try:
            yield
        except OSError as error:
            raise Unavailable(f"the key file {path} can't be read or written: {error}; check its owner") from error
        except KeyFileDamaged as error:
            raise FailedPrecondition(f"the key file {path} is damaged; put it back from a backup") from error
