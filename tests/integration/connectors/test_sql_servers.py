"""SQLPG and MYSQL on real servers."""

from __future__ import annotations

from typing import Any

import pytest
from connector_servers import Endpoint, call, free_port, refusal
from postgres_server import PostgresServer


@pytest.fixture(params=["SQLPG", "MYSQL"])
def database(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A type, and the inputs that lead to an empty database of it."""
    if request.param == "SQLPG":
        server: PostgresServer = request.getfixturevalue("postgres")
        name = server.new_database().partition("@/")[2].partition("?")[0]
        return "SQLPG", {"host": str(server.folder), "database": name, "username": server.user}
    mariadb: Endpoint = request.getfixturevalue("mariadb")
    return "MYSQL", {**mariadb(), "database": "shop"}


async def test_rows_come_back_as_they_were_put_in(database: tuple[str, dict[str, Any]]) -> None:
    kind, where = database

    async def sql(**inputs: Any) -> Any:
        return (await call(kind, **where, **inputs))["result"]

    await sql(execute="DROP TABLE IF EXISTS goods")
    await sql(execute="CREATE TABLE goods (id int primary key, name varchar(50), price decimal(10, 2), made date)")
    rows = [{"id": 1, "name": "Käse 100% 'x'", "made": "2024-02-29", "price": 9.99}, {"id": 2, "name": None}]
    put = "INSERT INTO goods (id, name, price, made) VALUES (:id, :name, :price, :made)"
    assert await sql(executemany=put, params=[rows[0], {"price": 3, "made": None, **rows[1]}]) == 2
    assert await sql(fetch="SELECT * FROM goods ORDER BY id") == [
        rows[0],
        {"id": 2, "name": None, "price": 3, "made": None},
    ]
    mark = "$1" if kind == "SQLPG" else "?"
    found = f"SELECT name FROM goods WHERE name LIKE '%100%' AND id = {mark} -- :not {mark}"
    assert await sql(fetchrow=found, params=[1]) == {"name": rows[0]["name"]}
    assert await sql(fetchval="SELECT count(*) FROM goods") == 2
    assert await sql(fetchrow="SELECT id FROM goods WHERE id = 9") is None
    assert await sql(execute="DELETE FROM goods") == 2


async def test_nothing_stays_when_a_statement_of_several_fails(database: tuple[str, dict[str, Any]]) -> None:
    kind, where = database
    await call(kind, **where, execute="DROP TABLE IF EXISTS numbers")
    await call(kind, **where, execute="CREATE TABLE numbers (n int primary key)")
    error, message = await refusal(kind, **where, executemany="INSERT INTO numbers VALUES (:n)", params=[{"n": 1}] * 2)
    assert error == "ConnectorError"
    assert "uplicate" in message
    assert (await call(kind, **where, fetchval="SELECT count(*) FROM numbers"))["result"] == 0


async def test_statement_is_stopped_when_it_takes_too_long(database: tuple[str, dict[str, Any]]) -> None:
    kind, where = database
    sleep = "SELECT pg_sleep(30)" if kind == "SQLPG" else "SELECT sleep(30)"
    _, message = await refusal(kind, **where, fetch=sleep, timeout=1)
    assert "timeout" in message or "timed out" in message or "within 1 s" in message


async def test_result_is_refused_when_it_is_too_large(database: tuple[str, dict[str, Any]]) -> None:
    kind, where = database
    rows = "generate_series(1, 40)" if kind == "SQLPG" else "seq_1_to_40"
    _, message = await refusal(kind, **where, fetch=f"SELECT repeat('x', 1000000) FROM {rows}")
    assert "larger than 16 MiB" in message


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({}, "MissingInputError", "one of the inputs fetch"),
        ({"fetch": "SELECT :a", "params": {}}, "InvalidInputError", "the statement has :a"),
        ({"fetch": "SELECT 1", "execute": "x"}, "ExtraInputError", "exclude each other"),
        ({"fetch": "SELEKT 1"}, "ConnectorError", "yntax"),
        ({"fetch": "SELECT 1", "database": "nowhere"}, "ConnectorError", "nowhere"),
    ],
)
async def test_servers_words_are_kept_when_it_refuses(
    database: tuple[str, dict[str, Any]], inputs: dict[str, Any], kind: str, words: str
) -> None:
    connector_type, where = database
    found, message = await refusal(connector_type, **{**where, **inputs})
    assert (found, words in message) == (kind, True), message


@pytest.mark.parametrize("kind", ["SQLPG", "MYSQL"])
async def test_connecting_is_tried_again_when_nobody_listens(kind: str) -> None:
    inputs = {"host": "127.0.0.1", "port": free_port(), "password": "s3cret-pw", "fetchval": "SELECT 1"}
    _, message = await refusal(kind, **inputs, retries=2, retry_backoff=0)
    assert "connecting (after 3 attempts)" in message
    assert "refused" in message


async def test_password_is_not_shown_when_it_is_wrong(mariadb: Endpoint) -> None:
    _, message = await refusal("MYSQL", **{**mariadb(), "password": "wrong-password"}, fetchval="SELECT 1")
    assert "Access denied" in message


async def test_values_without_a_json_form_are_told_in_text(postgres: PostgresServer) -> None:
    where = {"host": str(postgres.folder), "username": postgres.user}
    statement = (
        "SELECT 'infinity'::float8 AS endless, '\\x00ff'::bytea AS bytes, '2024-01-02 03:04+00'::timestamptz AS at,"
        " ARRAY[1, 2] AS list, '{\"a\": [1]}'::jsonb AS object, interval '90 s' AS span, 10::numeric AS ten,"
        " '0.1234567890123456789'::numeric AS exact, $1::bytea AS given"
    )
    row = (await call("SQLPG", **where, fetchrow=statement, params=[{"base64": "AP8="}]))["result"]
    assert row.pop("at").startswith("2024-01-02T")
    assert row == {
        "endless": "inf",
        "bytes": {"base64": "AP8="},
        "list": [1, 2],
        "object": {"a": [1]},
        "span": 90.0,
        "ten": 10,
        "exact": "0.1234567890123456789",
        "given": {"base64": "AP8="},
    }
