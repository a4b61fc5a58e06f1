"""Forms that flows make and people answer: checked within limits, whatever the form is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller import form_checks
from controller.errors import InvalidArgument, Unavailable
from controller.form_checks import FormChecks
from controller.forms import is_plain, request_form, text_form

# Each further letter doubles the time.
_BACKTRACKING = "^(a|a)*$"
_LETTERS = "a" * 60 + "!"
# Each level asks the one below twice.
_MULTIPLYING = {f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(60)}
_ORDER = {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}}, "required": ["count"]}


@pytest.mark.parametrize(
    ("form", "response"),
    [
        ({"properties": {"a": {"pattern": _BACKTRACKING}}}, {"a": _LETTERS}),
        ({"patternProperties": {_BACKTRACKING: {"type": "string"}}}, {_LETTERS: "b"}),
        ({"$defs": {**_MULTIPLYING, "d60": {}}, "$ref": "#/$defs/d0"}, {"a": 1}),
    ],
)
async def test_controller_goes_on_when_a_check_would_take_for_ever(
    form: dict[str, Any], response: dict[str, Any]
) -> None:
    checks = FormChecks()
    await checks.check_form(form)
    checking = asyncio.create_task(checks.check_response(form, response, "m1"))
    turns = 0
    while not checking.done():
        # Nobody holds the interpreter meanwhile.
        await asyncio.sleep(0.05)
        turns += 1
    assert turns > 5
    with pytest.raises(InvalidArgument, match="message m1: its form takes more than 5 s of processor time"):
        await checking


async def test_form_is_refused_when_its_own_check_takes_too_much() -> None:
    checks = FormChecks()
    much = {"type": "object", "properties": {str(number): {"anyOf": [{}] * 40} for number in range(20_000)}}
    with pytest.raises(InvalidArgument, match="the message's body takes more than 5 s of processor time"):
        await checks.check_form(much)


async def test_form_is_refused_when_it_refers_to_itself_without_end() -> None:
    with pytest.raises(InvalidArgument, match="message m1: its form is nested too deep, or refers to itself"):
        await FormChecks().check_response({"$ref": "#"}, {"a": 1}, "m1")


async def test_check_that_is_given_up_leaves_no_process_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
    begin = asyncio.create_subprocess_exec

    async def noticed(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await begin(*arguments, **options)
        begun.put_nowait(process)
        return process

    monkeypatch.setattr(form_checks.asyncio, "create_subprocess_exec", noticed)
    form = {"properties": {"a": {"pattern": _BACKTRACKING}}}
    checking = asyncio.create_task(FormChecks().check_response(form, {"a": _LETTERS}, "m1"))
    process = await begun.get()
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    assert process.returncode is not None


async def test_check_is_tried_again_later_when_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form_checks.sys, "executable", "/nowhere/python")
    with pytest.raises(Unavailable, match="no process for it can be started"):
        await FormChecks().check_form({"allOf": []})


@pytest.mark.parametrize("combined", [{}, {"allOf": [{}]}])
async def test_same_problems_are_found_whichever_process_looks(combined: dict[str, Any]) -> None:
    form = {**_ORDER, **combined}
    assert is_plain(form) is not bool(combined)
    checks = FormChecks()
    await checks.check_form(form)
    assert await checks.problems(form, {"count": 1}, "m1") == []
    [missing] = await checks.problems(form, {}, "m1")
    assert (missing.path, missing.place, missing.words) == (("count",), "$", "'count' is a required property")
    with pytest.raises(InvalidArgument, match=r"message m1: .*\$\.count: 0 is less than the minimum of 1"):
        await checks.check_response(form, {"count": 0}, "m1")
    with pytest.raises(InvalidArgument, match=r"no JSON schema: \$\.required: 1 is not of type 'array'"):
        await checks.check_form({**form, "required": 1})
    with pytest.raises(InvalidArgument, match="has to be an object, not list"):
        await checks.check_response(form, [], "m1")


def test_forms_that_people_mostly_write_are_checked_at_once() -> None:
    assert is_plain(text_form("read"))
    assert is_plain(request_form("Who?"))
    assert is_plain(
        {
            "title": "Trip",
            "properties": {
                "pattern": {"type": "string", "format": "textarea", "label": "named as a keyword is"},
                "day": {"type": "string", "format": "date", "default": "2026-01-01"},
                "ways": {"type": "array", "items": {"enum": ["rail", "road"]}},
            },
            "additionalProperties": False,
        }
    )


@pytest.mark.parametrize(
    "part",
    [
        {"pattern": "a"},
        {"patternProperties": {}},
        {"propertyNames": {}},
        {"uniqueItems": True},
        {"$ref": "#"},
        {"$id": "x"},
        {"not": {}},
        {"if": {}},
        {"format": "regex"},
    ],
)
@pytest.mark.parametrize("place", ["properties", "items", "prefixItems", "additionalProperties"])
def test_forms_that_could_take_long_are_known_wherever_that_stands(part: dict[str, Any], place: str) -> None:
    assert not is_plain(part)
    assert not is_plain({place: {"properties": {"a": part}, "prefixItems": [part]}.get(place, part)})
