"""Placeholders of SQL statements."""

from __future__ import annotations

from typing import Any

import pytest

from controller.connectors.errors import ConnectorError
from controller.connectors.sql_params import Placeholders, bound, parameter

DOLLAR, MARK = Placeholders.DOLLAR, Placeholders.QUESTION_MARK


@pytest.mark.parametrize(
    ("kind", "statement", "params", "text"),
    [
        (DOLLAR, "SELECT $1, $2, $1", [1, 2], "SELECT %(p1)s, %(p2)s, %(p1)s"),
        (DOLLAR, "SELECT :a::int, '$1 :a', \"x:a\" -- :a", {"a": 1}, "SELECT %(a)s::int, '$1 :a', \"x:a\" -- :a"),
        (DOLLAR, "SELECT E'it\\'s $1', $1", [1], "SELECT E'it\\'s $1', %(p1)s"),
        (DOLLAR, "SELECT 'a\\', $1", [1], "SELECT 'a\\', %(p1)s"),
        (DOLLAR, "DO $x$ BEGIN $1 END $x$; SELECT $1 % 2", [1], "DO $x$ BEGIN $1 END $x$; SELECT %(p1)s %% 2"),
        (DOLLAR, "SELECT data ? 'k', /* $1 */ $1", [1], "SELECT data ? 'k', /* $1 */ %(p1)s"),
        (MARK, "SELECT ?, '?', `?`, ? # ?", [1, 2], "SELECT %(p1)s, '?', `?`, %(p2)s # ?"),
        (MARK, "SELECT 'it\\'s ?', \"a\\\"?\", ?", [1], "SELECT 'it\\'s ?', \"a\\\"?\", %(p1)s"),
        (MARK, "SELECT '10%' LIKE :p", {"p": "x"}, "SELECT '10%%' LIKE %(p)s"),
        (DOLLAR, "SELECT 'it''s $1', '', $1", [1], "SELECT 'it''s $1', '', %(p1)s"),
        (DOLLAR, "SELECT $1, 'it''s $1", [1], "SELECT %(p1)s, 'it''s $1"),
        (DOLLAR, "SELECT $1, $a$ $1 $b$ 5%", [1], "SELECT %(p1)s, $a$ $1 $b$ 5%%"),
        (MARK, "SELECT ? /* ?", [1], "SELECT %(p1)s /* ?"),
    ],
)
def test_placeholders_are_found_outside_of_quotes_alone(
    kind: Placeholders, statement: str, params: Any, text: str
) -> None:
    assert bound(statement, params, kind)[0] == text


@pytest.mark.parametrize("kind", [DOLLAR, MARK])
@pytest.mark.parametrize(
    "repeated", ["'", '"', "`", "$", "/*", "/* ", "' \\", '" \\', "E' \\", "e'\\", "'\\'", "$a$b", "--", ":", "%"]
)
def test_hostile_statement_takes_no_longer_than_it_is_long(kind: Placeholders, repeated: str) -> None:
    # Hours, where each beginning looked at all that follows.
    bound(repeated * 200_000, {}, kind)
    bound(repeated * 200_000 + "'", {}, kind)


def test_many_dollar_quotes_take_no_longer_than_they_are_long() -> None:
    bound("".join(f"$a{number}$ " for number in range(200_000)), [], DOLLAR)


@pytest.mark.parametrize(
    ("kind", "statement", "params", "words"),
    [
        (DOLLAR, "SELECT $2", [1], "more placeholders than the 1"),
        (MARK, "SELECT ?, ?", [1], "more placeholders than the 1"),
        (DOLLAR, "SELECT :b", {"a": 1}, "has :b"),
    ],
)
def test_missing_value_is_named_when_there_are_too_few(
    kind: Placeholders, statement: str, params: Any, words: str
) -> None:
    with pytest.raises(ConnectorError, match=words):
        bound(statement, params, kind)


def test_bytes_and_objects_are_what_the_driver_takes() -> None:
    assert parameter("a", {"base64": "AP8="}) == b"\x00\xff"
    assert parameter("a", {"ü": [1]}) == '{"ü": [1]}'
    with pytest.raises(ConnectorError, match="params, a is no base64"):
        parameter("a", {"base64": "?"})
