"""Records of who may use the web page: hashes of links and sessions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select

from controller.db.engine import Transactions
from controller.db.schema import web_tokens


class WebTokenRecords(Transactions):
    """Tokens by hash; kind: "link" or "session"."""

    def add_web_token(self, token_hash: str, kind: str, now: datetime, expires_at: datetime) -> None:
        """Those that have expired go."""
        with self._writing() as connection:
            connection.execute(delete(web_tokens).where(web_tokens.c.expires_at <= now))
            connection.execute(insert(web_tokens), {"hash": token_hash, "kind": kind, "expires_at": expires_at})

    def has_web_token(self, token_hash: str, kind: str, now: datetime) -> bool:
        query = select(web_tokens.c.hash).where(
            web_tokens.c.hash == token_hash, web_tokens.c.kind == kind, web_tokens.c.expires_at > now
        )
        with self._reading() as connection:
            return connection.execute(query).first() is not None

    def take_web_token(self, token_hash: str, kind: str, now: datetime | None) -> bool:
        """Delete it; False: there was none, or it had expired at now."""
        query = delete(web_tokens).where(web_tokens.c.hash == token_hash, web_tokens.c.kind == kind)
        if now is not None:
            query = query.where(web_tokens.c.expires_at > now)
        with self._writing() as connection:
            return connection.execute(query).rowcount == 1

    def web_tokens(self, kind: str, now: datetime) -> Sequence[tuple[str, datetime]]:
        """Hashes, with when each expires; the newest first."""
        query = (
            select(web_tokens.c.hash, web_tokens.c.expires_at)
            .where(web_tokens.c.kind == kind, web_tokens.c.expires_at > now)
            .order_by(web_tokens.c.expires_at.desc())
        )
        with self._reading() as connection:
            return [(token_hash, expires_at) for token_hash, expires_at in connection.execute(query)]

    def delete_web_tokens(self) -> int:
        """All of them; answers how many there were."""
        with self._writing() as connection:
            return connection.execute(delete(web_tokens)).rowcount
