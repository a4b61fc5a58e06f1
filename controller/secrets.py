"""Secrets at rest: sealed with AES-256-GCM under the keys of one file, each bound to the record it belongs to.

The key file has one key per line, "<id, 8 hexadecimal digits> <key, 64 hexadecimal digits>", the newest first: that
one seals, all of them open. A sealed secret is a version byte, the key's id (4 bytes), a nonce (12 bytes) and the
ciphertext with its tag.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from controller.errors import DataLoss, FailedPrecondition, Unavailable

_VERSION = b"\x01"
_ID_BYTES = 4
_KEY_BYTES = 32
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + _ID_BYTES + _NONCE_BYTES


class SecretBox:
    """Seals and opens. The file is made, mode 0600, when something is sealed for the first time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[bytes, bytes] = {}

    def seal(self, content: bytes, record: str) -> bytes:
        """Ciphertext that opens for the same record alone, so that it can't be moved to another one.

        Raises Unavailable when the key file can't be made or read.
        """
        key_id, key = next(iter(self._present_keys(create=True).items()))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + key_id + nonce + AESGCM(key).encrypt(nonce, content, record.encode())

    def open(self, sealed: bytes, record: str) -> bytes:
        """The content. Raises FailedPrecondition for a key that is not in the file, DataLoss for a damaged secret."""
        key_id = sealed[len(_VERSION) : len(_VERSION) + _ID_BYTES]
        key = self._present_keys(create=False).get(key_id)
        if not sealed.startswith(_VERSION) or len(sealed) < _HEAD_BYTES:
            raise DataLoss(f"the secrets of {record} are damaged in the database; save them again")
        if key is None:
            raise FailedPrecondition(
                f"the secrets of {record} were sealed with the key {key_id.hex()}, which is not in {self._path}; put"
                " that file back from a backup, or save the secrets again"
            )
        try:
            nonce = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
            return AESGCM(key).decrypt(nonce, sealed[_HEAD_BYTES:], record.encode())
        except InvalidTag as error:
            raise DataLoss(f"the secrets of {record} are damaged in the database; save them again") from error

    def add_key(self) -> None:
        """A new key seals from now on; older ones still open."""
        self._write({**_new_key(), **self._present_keys(create=False)})

    def drop_old_keys(self) -> None:
        """Only the newest stays. What older ones sealed can't be opened any more: seal it anew before."""
        newest = next(iter(self._present_keys(create=True).items()))
        self._write(dict([newest]))

    def _present_keys(self, *, create: bool) -> dict[bytes, bytes]:
        if not self._keys:
            try:
                text = self._path.read_text()
            except FileNotFoundError:
                text = ""
            except OSError as error:
                raise Unavailable(f"the key file {self._path} can't be read: {error}; check its owner") from error
            try:
                pairs = [line.split() for line in text.splitlines() if line.strip()]
                self._keys = {bytes.fromhex(key_id): bytes.fromhex(key) for key_id, key in pairs}
            except ValueError as error:
                raise FailedPrecondition(f"the key file {self._path} is damaged; put it back from a backup") from error
            if create and not self._keys:
                self._write(_new_key())
        return self._keys

    def _write(self, keys: dict[bytes, bytes]) -> None:
        temporary = self._path.with_name(f"{self._path.name}.new")
        try:
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.writelines(f"{key_id.hex()} {key.hex()}\n" for key_id, key in keys.items())
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._path)
            # What is sealed with it may be on the disk in the next moment.
            _sync_folder(self._path.parent)
        except OSError as error:
            raise Unavailable(f"the key file {self._path} can't be written: {error}") from error
        self._keys = keys


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _new_key() -> dict[bytes, bytes]:
    return {secrets.token_bytes(_ID_BYTES): secrets.token_bytes(_KEY_BYTES)}
