"""What a database driver raised, as the core's errors."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, OperationalError

from controller.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    FlowsnapError,
    Internal,
    NotFound,
    ResourceExhausted,
    Unavailable,
)

# By a prefix of SQLite's error name (sqlite.org/rescode.html) or PostgreSQL's SQLSTATE (appendix A); first hit.
_KINDS: tuple[tuple[str, type[FlowsnapError], str], ...] = (
    ("SQLITE_CONSTRAINT_FOREIGNKEY", NotFound, "the record it belongs to does not exist (any more)"),
    ("23503", NotFound, "the record it belongs to does not exist (any more)"),
    ("SQLITE_CONSTRAINT_PRIMARYKEY", AlreadyExists, "it is recorded already"),
    ("SQLITE_CONSTRAINT_UNIQUE", AlreadyExists, "it is recorded already"),
    ("23505", AlreadyExists, "it is recorded already"),
    ("SQLITE_BUSY", Unavailable, "another process holds the database: try again"),
    ("SQLITE_LOCKED", Unavailable, "another process holds the database: try again"),
    ("SQLITE_CANTOPEN", Unavailable, "check that its folder exists and may be written"),
    ("SQLITE_IOERR", Unavailable, "check the disk that the database is on"),
    ("08", Unavailable, "check that the database server runs and can be reached"),
    ("57P", Unavailable, "the database server is going down or starting: try again"),
    ("40", Unavailable, "try again"),
    ("SQLITE_FULL", ResourceExhausted, "free some space on the disk that the database is on"),
    ("53", ResourceExhausted, "free some space or raise the server's limits"),
    ("SQLITE_TOOBIG", ResourceExhausted, "the value is too large for the database"),
    ("54", ResourceExhausted, "the value is too large for the database"),
    ("SQLITE_CORRUPT", DataLoss, "bring the database back from a backup"),
    ("SQLITE_NOTADB", DataLoss, "the file is no database: bring it back from a backup"),
    ("XX00", DataLoss, "bring the database back from a backup"),
    ("SQLITE_READONLY", Unavailable, "make the database file, its folder and their disk writable"),
    ("42P01", FailedPrecondition, "the database has no tables yet: run the migrations first"),
)


# Reasons that pass, by themselves or with the operator's help.
_PASSING = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_FULL"),
    *("08", "57P", "40", "53"),
)


def translated(error: DBAPIError, database: str) -> FlowsnapError:
    """The core's error for a driver's. database: where it happened, without a password."""
    words = " ".join(str(error.orig).split())
    code = str(getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or "")
    if "no such table" in words:
        code = "42P01"
    elif not code and isinstance(error, OperationalError):
        # psycopg gives no SQLSTATE when it got no answer at all.
        code = "08"
    for prefix, kind, advice in _KINDS:
        if code.startswith(prefix):
            found = kind(f"database {database}: {words}; {advice}")
            found.not_recorded = code.startswith(_PASSING)
            return found
    return Internal(f"database {database}: {words} ({code or type(error.orig).__name__})")
