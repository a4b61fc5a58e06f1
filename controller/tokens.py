"""Agents' tokens: each is valid for its execution alone.

A token is "<execution id>.<HMAC-SHA256 of the id, hexadecimal>" under a key of this data directory. So it can be handed
to every container that an execution gets, and checked, without being stored anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from controller.errors import PermissionDenied

_KEY_BYTES = 32


class AgentTokens:
    """Makes and checks tokens under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> AgentTokens:
        """The key in the file, which is made (mode 0600) when it is absent."""
        if not path.exists():
            temporary = path.with_name(f"{path.name}.new")
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        return cls(path.read_bytes())

    def token(self, execution_id: str) -> str:
        mac = hmac.new(self._key, execution_id.encode(), hashlib.sha256).hexdigest()
        return f"{execution_id}.{mac}"

    def execution_id(self, token: str) -> str:
        """The execution that the token belongs to. Raises PermissionDenied for any other text."""
        execution_id = token.partition(".")[0]
        if not hmac.compare_digest(self.token(execution_id).encode(), token.encode()):
            raise PermissionDenied("the token is not one that this controller gave to an agent")
        return execution_id


def token_hash(token: str) -> str:
    """SHA-256, hexadecimal: what the records keep of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
