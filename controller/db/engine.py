"""Connections to the database and the two kinds of transaction on them: reading and writing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from controller.db.failures import translated
from controller.errors import InvalidArgument

Durability = Literal["host", "process"]

BUSY_TIMEOUT_MS = 10_000
# More than the core's worker threads: none of them ever waits for a connection.
_POOL_SIZE = 32
# NORMAL in WAL mode loses nothing when a process dies, but may lose the newest commits with the power; FULL does not.
_SYNCHRONOUS: dict[Durability, str] = {"process": "NORMAL", "host": "FULL"}


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file, with odd characters in its path quoted."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def utc_now() -> datetime:
    return datetime.now(UTC)


def open_engine(url: str, durability: Durability) -> Engine:
    """An engine for the URL. Connects to nothing yet. Raises InvalidArgument for a URL that can't be used."""
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            # SQLAlchemy's default for that name is psycopg2.
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite":
            engine = create_engine(parsed, pool_size=_POOL_SIZE)
            _prepare_sqlite(engine, durability)
        else:
            engine = create_engine(parsed, pool_size=_POOL_SIZE, pool_pre_ping=True)
    except (ArgumentError, ImportError) as error:
        # The URL itself may hold a password, so it is not shown.
        raise InvalidArgument(
            f"database URL: {error}; use sqlite:////path/to/file or postgresql://user:password@host/database"
            " (which needs the psycopg package)"
        ) from error
    return engine


def _prepare_sqlite(engine: Engine, durability: Durability) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver would begin deferred transactions by itself; begin() below says which kind it is.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that reads, then writes, fails with SQLITE_BUSY when another wrote in between.
        writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


class Transactions:
    """One database's transactions; what the record classes of this package build on. Thread-safe."""

    def __init__(self, url: str, *, durability: Durability = "process", now: Callable[[], datetime] = utc_now) -> None:
        """url: SQLAlchemy's form, see sqlite_url. now: the time given to status changes."""
        self._engine = open_engine(url, durability)
        self._writer = self._engine.execution_options(writing=True)
        self._now = now
        self._where = self._engine.url.render_as_string(hide_password=True)
        # SQLite has one writer at a time and lets others sleep and poll; within a process a lock hands over at once.
        self._turn: AbstractContextManager[Any] = (
            threading.Lock() if self._engine.dialect.name == "sqlite" else nullcontext()
        )

    def close(self) -> None:
        """Close all connections. SQLite folds its write-ahead log into the file with the last one."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise translated(error, self._where) from error

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Commits at the end of the block, rolls back when it raises."""
        try:
            with self._turn, self._writer.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise translated(error, self._where) from error
