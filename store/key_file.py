"""A file of keys, one per line, the newest first: that one seals, all of them open.

A line is "<id, 8 hexadecimal digits> <key, 64 hexadecimal digits>".
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from store.sync import sync_folder

ID_BYTES: Final = 4
KEY_BYTES: Final = 32


class KeyFileDamaged(ValueError):
    """The file has other lines than keys."""


class KeyFile:
    """Read once. The file is made, mode 0600, when the first key is wanted. Methods raise OSError, KeyFileDamaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: dict[bytes, bytes] = {}

    def keys(self, *, create: bool = False) -> Mapping[bytes, bytes]:
        """Key by id, the newest first. create: make one where there is none."""
        if not self._keys:
            try:
                lines = [line.split() for line in self.path.read_text().splitlines() if line.strip()]
            except FileNotFoundError:
                lines = []
            except UnicodeDecodeError as error:
                raise KeyFileDamaged(str(error)) from error
            self._keys = _parsed(lines)
            if create and not self._keys:
                self.add()
        return self._keys

    def add(self) -> None:
        """A new key seals from now on; older ones still open."""
        self._write({secrets.token_bytes(ID_BYTES): secrets.token_bytes(KEY_BYTES), **self.keys()})

    def drop_old(self) -> None:
        """Only the newest stays. What older ones sealed can't be opened any more: seal it anew before."""
        self._write(dict([next(iter(self.keys(create=True).items()))]))

    def _write(self, keys: dict[bytes, bytes]) -> None:
        temporary = self.path.with_name(f"{self.path.name}.new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"{key_id.hex()} {key.hex()}\n" for key_id, key in keys.items())
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self.path)
        # What is sealed with it may be on the disk in the next moment.
        sync_folder(self.path.parent)
        self._keys = keys


def _parsed(lines: list[list[str]]) -> dict[bytes, bytes]:
    try:
        keys = {bytes.fromhex(key_id): bytes.fromhex(key) for key_id, key in lines}
    except ValueError as error:
        raise KeyFileDamaged(str(error)) from error
    if any((len(key_id), len(key)) != (ID_BYTES, KEY_BYTES) for key_id, key in keys.items()):
        raise KeyFileDamaged("a key or its id is too short or too long")
    return keys
