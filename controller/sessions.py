"""Who may use the web page: a link signs a browser in once, and its session lasts until it expires or is ended."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.errors import PermissionDenied
from controller.ports import Database
from controller.services import Services
from controller.tokens import token_hash

LINK_LIFE = timedelta(minutes=15)
SESSION_LIFE = timedelta(days=7)
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in. id: the hash of its token; own: it is the one that asks."""

    id: str
    began_at: datetime
    expires_at: datetime
    own: bool


class Sessions:
    """Of all browsers. The records keep hashes alone: whoever reads them can't sign in."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def new_link(self) -> tuple[str, datetime]:
        """A token that begins one session, and when it expires."""
        return await self._new("link", LINK_LIFE)

    async def begin(self, link_token: str) -> tuple[str, datetime]:
        """Use the link up. Answers the session's token and when it expires. Raises PermissionDenied."""
        now = self._services.clock.now()
        if not await self._services.db(Database.take_web_token, token_hash(link_token), "link", now):
            raise PermissionDenied(
                "this link was used before or has expired; `snapctl web` on the controller's host makes a new one"
            )
        return await self._new("session", SESSION_LIFE)

    async def known(self, session_token: str) -> bool:
        """Whether a session with that token goes on."""
        now = self._services.clock.now()
        return await self._services.db(Database.has_web_token, token_hash(session_token), "session", now)

    async def end(self, session_token: str) -> None:
        """Sign that browser out."""
        await self._services.db(Database.take_web_token, token_hash(session_token), "session", None)

    async def list(self, own_token: str) -> Sequence[Session]:
        """The newest first."""
        own, now = token_hash(own_token), self._services.clock.now()
        found = await self._services.db(Database.web_tokens, "session", now)
        return [Session(one, expires_at - SESSION_LIFE, expires_at, one == own) for one, expires_at in found]

    async def end_one(self, session_id: str) -> None:
        """Sign that browser out; session_id: of list."""
        await self._services.db(Database.take_web_token, session_id, "session", None)

    async def end_all(self) -> int:
        """Sign all browsers out, and take back the links that nobody used; answers how many there were of both."""
        return await self._services.db(Database.delete_web_tokens)

    async def _new(self, kind: str, life: timedelta) -> tuple[str, datetime]:
        token, now = secrets.token_urlsafe(_TOKEN_BYTES), self._services.clock.now()
        await self._services.db(Database.add_web_token, token_hash(token), kind, now, now + life)
        return token, now + life
