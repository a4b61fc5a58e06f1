"""The SQLITE connector: one statement on an SQLite file."""

from __future__ import annotations

import base64
import binascii
import math
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Final

from controller.connectors.blocking import in_thread
from controller.connectors.errors import invalid, refused
from controller.connectors.inputs import Input, Inputs, one_of
from controller.connectors.reach import denied

MAX_RESULT_BYTES: Final = 16 * 1024 * 1024

_FETCHES = ("fetch", "fetchrow", "fetchval")
_STATEMENTS = (*_FETCHES, "execute", "executemany")
# How many of SQLite's instructions pass between two looks at the clock: about a millisecond's worth.
_INSTRUCTIONS = 10_000


class SqliteConnector:
    """Its result is a list of objects (fetch), the first row as an object or null (fetchrow), its first value
    or null (fetchval), or the number of changed rows (execute, executemany). A BLOB is {"base64": "..."} both ways; an
    infinite number comes as the text "Infinity" or "-Infinity". A result has at most 16 MiB.

    Each call is a transaction.
    """

    summary = "A statement on an SQLite file"
    inputs: ClassVar[Inputs] = {
        "path": Input(
            (str,), "the file, as the controller sees it; execute and executemany create it", required=True, place=True
        ),
        "fetch": Input((str,), "statement; the result is a list of objects"),
        "fetchrow": Input((str,), "statement; the result is the first row, or null"),
        "fetchval": Input((str,), "statement; the result is the first value, or null"),
        "execute": Input((str,), "statement; the result is the number of changed rows"),
        "executemany": Input((str,), "statement, carried out once for each of params"),
        "params": Input((list, dict), "a list for ? or an object for :name; for executemany a list of them"),
        "timeout": Input((float,), "seconds, waiting for other writers included", default=60.0, minimum=0.001),
    }
    probe: ClassVar[dict[str, Any]] = {"fetchval": "SELECT count(*) FROM sqlite_master"}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """Always refused."""
        raise denied(f"{values['path']}: a flow can't choose a file of the controller's host")

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """SQLite has no place for the key, so it goes unused."""
        del idempotency_key
        action = one_of(values, _STATEMENTS)
        params = _params(action, values["params"])
        try:
            return {"result": await in_thread(_run, action, values, params)}
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            words = str(error)
            if words == "interrupted":
                words = f"not done within {values['timeout']:g} s; the input timeout allows more"
            raise refused(f"{values['path']}: {action}", words) from error


def _run(action: str, values: dict[str, Any], params: Any) -> Any:
    deadline = time.monotonic() + values["timeout"]
    # A read of a file that isn't there should say so, not make an empty one.
    mode = "rw" if action in _FETCHES else "rwc"
    url = f"{Path(values['path']).absolute().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(url, uri=True, timeout=values["timeout"])) as connection:
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _INSTRUCTIONS)
        # Commits, or rolls back what an error left.
        with connection:
            if action == "executemany":
                return max(connection.executemany(values[action], params).rowcount, 0)
            cursor = connection.execute(values[action], params)
            if action == "execute":
                return max(cursor.rowcount, 0)
            return _fetched(action, cursor)


def _authorize(action: int, *_: object) -> int:
    """One file is what the connection gives: ATTACH and VACUUM INTO reach for others."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


def _fetched(action: str, cursor: sqlite3.Cursor) -> Any:
    if cursor.description is None:
        raise invalid(f"the statement of {action} gives no rows; use execute")
    names = [column[0] for column in cursor.description]
    if action != "fetch":
        row = cursor.fetchone()
        # Read to the end, or a RETURNING statement with several rows would not be carried out whole.
        for _ in cursor:
            pass
        if row is None:
            return None
        return _to_json(row[0]) if action == "fetchval" else dict(zip(names, map(_to_json, row), strict=True))
    rows = []
    size_bytes = 0
    for row in cursor:
        size_bytes += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
        if size_bytes > MAX_RESULT_BYTES:
            raise refused(f"the result is larger than {MAX_RESULT_BYTES // 1024**2} MiB; fetch less at once")
        rows.append(dict(zip(names, map(_to_json, row), strict=True)))
    return rows


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _params(action: str, params: Any) -> Any:
    if action != "executemany":
        return _from_json_row(params if params is not None else [])
    if not isinstance(params, list) or not all(isinstance(row, list | dict) for row in params):
        raise invalid("input params of executemany must be a list of lists or objects")
    return [_from_json_row(row) for row in params]


def _from_json_row(row: Any) -> Any:
    if isinstance(row, dict):
        return {key: _from_json(key, value) for key, value in row.items()}
    return [_from_json(str(position), value) for position, value in enumerate(row, 1)]


def _from_json(place: str, value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"base64"} and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error as error:
            raise invalid(f"parameter {place} is no base64: {error}") from error
    if isinstance(value, list | dict):
        raise invalid(f'parameter {place} must be a single value; a BLOB is {{"base64": "..."}}')
    return value
