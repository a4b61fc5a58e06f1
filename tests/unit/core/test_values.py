"""What may enter, and what is refused at the border."""

from __future__ import annotations

import pytest

from controller.errors import InvalidArgument
from controller.values import checked_json, checked_name, checked_script, finite_number, packed


@pytest.mark.parametrize(
    "script",
    [
        "def handler(system, this): pass",
        "async def handler(system, this): pass",
        "handler = lambda system, this: None",
        "handler: object = print",
        "from flows import main as handler",
    ],
)
def test_script_is_accepted_when_it_has_a_handler(script: str) -> None:
    assert checked_script(script, "flow.py") == script


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("def handle(system, this): pass", "no handler"),
        ("class A:\n    def handler(self): pass", "no handler"),
        ("x = 1\nif x\n", "flow.py:2: "),
        ("x = '\0'", "flow.py"),
        ("(" * 5000, "flow.py"),
    ],
)
def test_script_is_refused_with_its_place_when_it_can_not_run(script: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        checked_script(script, "flow.py")


@pytest.mark.parametrize("name", ["a", "with spaces", "zażółć", "名前", "x" * 200, "-y", "..", "a/b"])
def test_name_is_accepted_when_it_can_be_printed(name: str) -> None:
    assert checked_name(name, "name") == name


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\x1b[2J", "a\u202eb"])
def test_name_is_refused_when_it_would_upset_a_terminal(name: str) -> None:
    with pytest.raises(InvalidArgument):
        checked_name(name, "name")


def test_json_is_null_when_empty() -> None:
    assert checked_json(b"", "value", 10) == b"null"


@pytest.mark.parametrize("value", [b"{", b"NaN", b"-Infinity", b"\xff", b"x" * 11])
def test_json_is_refused_when_wrong_or_too_large(value: bytes) -> None:
    with pytest.raises(InvalidArgument):
        checked_json(value, "value", 10)


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), 10**400])
def test_number_is_none_when_it_is_not_finite(value: object) -> None:
    assert finite_number(value) is None


def test_packed_values_refuse_what_json_can_not_say() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        packed(float("nan"))
