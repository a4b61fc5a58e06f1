"""The SQLITE connector on real files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from controller.connectors import ConnectorError, connector


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = tmp_path / "odd ?#% name.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE data (id INTEGER PRIMARY KEY, name TEXT UNIQUE, bin BLOB)")
        connection.executemany("INSERT INTO data VALUES (?, ?, ?)", [(1, "eins", b"\x00\xff"), (2, "zwei", None)])
    return str(path)


async def sqlite(**inputs: Any) -> Any:
    output = await connector("SQLITE").call(inputs, idempotency_key="unused")
    assert list(output) == ["result"]
    json.dumps(output, allow_nan=False)
    return output["result"]


async def refusal(**inputs: Any) -> tuple[str, str]:
    with pytest.raises(ConnectorError) as caught:
        await sqlite(**inputs)
    return caught.value.error_type, str(caught.value)


async def test_rows_are_objects_when_fetched(path: str) -> None:
    assert await sqlite(path=path, fetch="SELECT id, name, bin FROM data ORDER BY id") == [
        {"id": 1, "name": "eins", "bin": {"base64": "AP8="}},
        {"id": 2, "name": "zwei", "bin": None},
    ]
    assert await sqlite(path=path, fetch="SELECT * FROM data WHERE id > 9") == []


async def test_first_row_or_null_comes_when_one_is_fetched(path: str) -> None:
    row = "SELECT name FROM data WHERE id = :id"
    assert await sqlite(path=path, fetchrow=row, params={"id": 2}) == {"name": "zwei"}
    assert await sqlite(path=path, fetchrow=row, params={"id": 9}) is None


async def test_first_value_or_null_comes_when_one_is_fetched(path: str) -> None:
    assert await sqlite(path=path, fetchval="SELECT count(*) FROM data") == 2
    assert await sqlite(path=path, fetchval="SELECT id FROM data WHERE id = 9") is None
    assert await sqlite(path=path, fetchval="SELECT -9e999") == "-Infinity"


async def test_changed_rows_are_counted_and_kept_when_executed(path: str) -> None:
    assert await sqlite(path=path, execute="UPDATE data SET name = name || '!'") == 2
    assert await sqlite(path=path, execute="CREATE TABLE other (x)") == 0
    rows = [[3, "drei", {"base64": "AQI="}], [4, "vier", None]]
    assert await sqlite(path=path, executemany="INSERT INTO data VALUES (?, ?, ?)", params=rows) == 2
    assert await sqlite(path=path, fetchval="SELECT hex(bin) FROM data WHERE id = 3") == "0102"
    assert await sqlite(path=path, fetchval="SELECT name FROM data WHERE id = 1") == "eins!"


async def test_all_rows_are_inserted_when_only_one_is_returned(path: str) -> None:
    insert = "INSERT INTO data (name) VALUES ('a'), ('b'), ('c') RETURNING name"
    assert await sqlite(path=path, fetchval=insert) == "a"
    assert await sqlite(path=path, fetchval="SELECT count(*) FROM data") == 5


async def test_nothing_is_kept_when_one_of_many_fails(path: str) -> None:
    kind, message = await refusal(
        path=path, executemany="INSERT INTO data (name) VALUES (?)", params=[["neu"], ["eins"]]
    )
    assert (kind, "UNIQUE constraint failed: data.name" in message) == ("ConnectorError", True)
    assert await sqlite(path=path, fetchval="SELECT count(*) FROM data") == 2


async def test_file_is_made_only_when_something_is_executed(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    assert "unable to open database file" in (await refusal(path=str(path), fetch="SELECT 1"))[1]
    assert not path.exists()
    await sqlite(path=str(path), execute="CREATE TABLE t (x)")
    assert path.exists()


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"fetch": "SELECT * FROM missing"}, "no such table: missing"),
        ({"fetch": "SELEKT"}, 'near "SELEKT": syntax error'),
        ({"execute": "SELECT 1; SELECT 2"}, "one statement at a time"),
        ({"fetch": "SELECT ?", "params": []}, "Incorrect number of bindings"),
        ({"fetch": "SELECT ?", "params": [2**70]}, "too large"),
        ({"fetch": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
          "timeout": 0.05}, "not done within 0.05 s"),
        ({"fetch": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT printf('%.*c', 1000000, 'x')"
          " FROM n"}, "larger than 16 MiB"),
        ({"execute": "INSERT INTO data (name) VALUES (json('{hush'))", "params": {"password": "malformed"}},
         "******** JSON"),
    ],
)  # fmt: skip
async def test_sqlites_words_are_kept_when_it_refuses(path: str, inputs: dict[str, Any], words: str) -> None:
    kind, message = await refusal(path=path, **inputs)
    assert (kind, words in message) == ("ConnectorError", True), message


async def test_other_writer_is_waited_for_when_the_file_is_locked(path: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "database is locked" in (await refusal(path=path, execute="DELETE FROM data", timeout=0.05))[1]
    assert await sqlite(path=path, execute="DELETE FROM data", timeout=10) == 2


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({"path": None, "fetch": "SELECT 1"}, "MissingInputError", "input path is required"),
        ({}, "MissingInputError", "fetch, fetchrow, fetchval, execute, executemany is required"),
        ({"fetch": "SELECT 1", "execute": "x"}, "ExtraInputError", "fetch and execute exclude"),
        ({"fetsch": "SELECT 1"}, "ExtraInputError", "unknown input fetsch"),
        ({"fetch": 1}, "InvalidInputError", "fetch must be a text, not an integer"),
        ({"fetch": "SELECT 1", "params": "x"}, "InvalidInputError", "params must be a list or an object"),
        ({"fetch": "SELECT ?", "params": [[1]]}, "InvalidInputError", "parameter 1 must be a single value"),
        ({"fetch": "SELECT ?", "params": [{"base64": "*"}]}, "InvalidInputError", "parameter 1 is no base64"),
        ({"executemany": "x", "params": [1]}, "InvalidInputError", "list of lists or objects"),
        ({"executemany": "x"}, "InvalidInputError", "list of lists or objects"),
        ({"fetch": "DELETE FROM data"}, "InvalidInputError", "gives no rows; use execute"),
    ],
)
async def test_field_is_named_when_an_input_is_wrong(path: str, inputs: dict[str, Any], kind: str, words: str) -> None:
    found, message = await refusal(**{"path": path, **inputs})
    assert (found, words in message) == (kind, True), message
    assert await sqlite(path=path, fetchval="SELECT count(*) FROM data") == 2
