"""A file under a passphrase: AES-256-GCM in pieces, the key made of the passphrase by scrypt.

"FSNAPENC", version (32 bits, little-endian), salt (16 bytes), then pieces: length of the ciphertext (32 bits) and the
ciphertext with its tag. A piece's nonce is its number, its associated data the head and whether it is the last one: so
none can be left out, swapped, or cut off at the end.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from controller.cli.errors import CliError, usage_error
from controller.cli.exit_codes import ExitCode

MAGIC: Final = b"FSNAPENC"

_VERSION: Final = 1
_HEAD: Final = struct.Struct("<8sI16s")
_LENGTH: Final = struct.Struct("<I")
_TAG_BYTES: Final = 16
_PIECE_BYTES: Final = 1024 * 1024
# 128 MiB of memory and about half a second.
_SCRYPT_N: Final = 2**17


def seal(parts: Iterable[bytes], passphrase: bytes) -> Iterator[bytes]:
    """The parts' bytes, sealed."""
    head = _HEAD.pack(MAGIC, _VERSION, os.urandom(16))
    cipher = _cipher(passphrase, head)
    yield head
    number, waiting = 0, bytearray()
    for part in parts:
        waiting += part
        while len(waiting) > _PIECE_BYTES:
            yield _sealed(cipher, head, number, bytes(waiting[:_PIECE_BYTES]), last=False)
            del waiting[:_PIECE_BYTES]
            number += 1
    yield _sealed(cipher, head, number, bytes(waiting), last=True)


def open_sealed(file: BinaryIO, beginning: bytes, passphrase: bytes) -> Iterator[bytes]:
    """What seal was given; beginning: what was read of the file already. Raises CliError for anything else."""
    head = beginning + file.read(_HEAD.size - len(beginning))
    if len(head) < _HEAD.size or _HEAD.unpack(head)[1] != _VERSION:
        raise _damaged("it does not begin as a sealed file does")
    cipher, number, last = _cipher(passphrase, head), 0, False
    length = file.read(_LENGTH.size)
    while not last:
        if len(length) < _LENGTH.size:
            raise _damaged("it was cut short")
        (size,) = _LENGTH.unpack(length)
        if not _TAG_BYTES <= size <= _PIECE_BYTES + _TAG_BYTES:
            raise _damaged("it was altered")
        sealed = file.read(size)
        length = file.read(_LENGTH.size)
        last = not length
        try:
            yield cipher.decrypt(_nonce(number), sealed, _associated(head, last=last))
        except InvalidTag as error:
            if number:
                raise _damaged("it was cut short or altered") from error
            raise CliError(
                "the passphrase does not open the file, or the file was altered: give the one it was exported with",
                ExitCode.DATA_LOSS,
            ) from error
        number += 1


def read_passphrase(content: bytes) -> bytes:
    """A passphrase file's content, without its last line break."""
    passphrase = content.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase:
        raise usage_error("the passphrase file is empty: write a passphrase into it")
    return passphrase


def _sealed(cipher: AESGCM, head: bytes, number: int, content: bytes, *, last: bool) -> bytes:
    sealed = cipher.encrypt(_nonce(number), content, _associated(head, last=last))
    return _LENGTH.pack(len(sealed)) + sealed


def _cipher(passphrase: bytes, head: bytes) -> AESGCM:
    salt = _HEAD.unpack(head)[2]
    return AESGCM(Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=8, p=1).derive(passphrase))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "little")


def _associated(head: bytes, *, last: bool) -> bytes:
    return head + bytes([last])


def _damaged(why: str) -> CliError:
    return CliError(f"the sealed file can't be opened: {why}; copy it again", ExitCode.DATA_LOSS)
