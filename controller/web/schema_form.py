"""A JSON schema as fields of a form, and what was typed into them as a JSON value.

Simple values, lists of them and objects one level deep have fields of their own; anything else is typed as JSON. What
is typed is checked against the schema itself afterwards: the fields only say what can't be read at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.forms import Problem
from controller.values import parsed

# As forms send them: names with one or several texts.
Typed = Mapping[str, Sequence[str]]

_MOST_FIELDS = 200
_LONG_TEXT_CHARACTERS = 200
_COMBINED = frozenset({"$ref", "$dynamicRef", "anyOf", "oneOf", "allOf", "not", "if"})
_SIMPLE = frozenset({"string", "integer", "number"})
_INPUT_TYPES = {"date": "date", "email": "email", "uri": "url", "password": "password"}
_PLACEHOLDERS = {
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
}
_ELEMENTS = {"markdown": "note", "submit": "submit"}
_WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Field:
    """One of a form. kind: text, area, integer, number, boolean, choice, choices, lines, json, object, note, submit.

    choices: JSON and what is shown of it. initial: what stands there before anybody typed.
    """

    name: str
    path: tuple[str, ...]
    kind: str
    label: str
    hint: str = ""
    required: bool = False
    choices: Sequence[tuple[str, str]] = ()
    item: str = ""  # of lines and choices: the type of each
    input_type: str = "text"
    placeholder: str = ""
    longest: int | None = None
    initial: Sequence[str] = ()
    fields: Sequence[Field] = field(default=())


def fields_of(schema: Any) -> Sequence[Field]:
    """In the order of `order`, else of the schema. One JSON field where the schema says nothing that has fields."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not 0 < len(properties) <= _MOST_FIELDS:
        return [Field(_WHOLE, (), "json", "Response", "A JSON object.", required=True, initial=["{}"])]
    return _fields(schema, "f", ())


def initial(fields: Sequence[Field]) -> Typed:
    return {one.name: one.initial for one in flat(fields)}


def flat(fields: Sequence[Field]) -> Iterator[Field]:
    """All of them, with those of objects."""
    for one in fields:
        yield one
        yield from flat(one.fields)


def read(fields: Sequence[Field], typed: Typed) -> tuple[Any, dict[str, str]]:
    """The value, and by the names of fields what can't be read."""
    unread: dict[str, str] = {}
    if len(fields) == 1 and fields[0].name == _WHOLE:
        return _value(fields[0], typed, unread)[1], unread
    return _object(fields, typed, unread), unread


def by_field(fields: Sequence[Field], problems: Sequence[Problem]) -> tuple[dict[str, str], Sequence[str]]:
    """Problems by the names of fields, and those that no field is to blame for."""
    places: dict[tuple[str | int, ...], str] = {one.path: one.name for one in flat(fields)}
    found: dict[str, str] = {}
    others = []
    for problem in problems:
        path = problem.path
        name = next((places[path[:size]] for size in range(len(path), 0, -1) if path[:size] in places), None)
        if name is None:
            others.append(f"{problem.place}: {problem.words}")
        else:
            found.setdefault(name, problem.words)
    return found, others


def _fields(schema: Mapping[str, Any], prefix: str, path: tuple[str, ...]) -> Sequence[Field]:
    given = schema.get("required")
    required = given if isinstance(given, list) else []
    numbered = enumerate(schema["properties"].items())
    made = [
        (_order(one), _field(one, f"{prefix}{at}", (*path, key), required=key in required))
        for at, (key, one) in numbered
    ]
    return [one for _, one in sorted(made, key=lambda pair: pair[0])]


def _order(schema: Any) -> float:
    order = schema.get("order") if isinstance(schema, dict) else None
    return order if isinstance(order, int | float) else float("inf")


def _field(schema: Any, name: str, path: tuple[str, ...], *, required: bool) -> Field:
    if not isinstance(schema, dict):
        return Field(name, path, "json", path[-1], required=required)
    label = next((str(schema[key]) for key in ("label", "title") if schema.get(key)), path[-1])
    hint = str(schema.get("description") or "")
    if told := _ELEMENTS.get(str(schema.get("element"))):
        return Field(name, path, told, label, hint)
    nested = schema.get("properties")
    is_object = _type(schema) == "object" and isinstance(nested, dict) and 0 < len(nested) <= _MOST_FIELDS
    if is_object and len(path) == 1 and not _COMBINED & schema.keys():
        return Field(name, path, "object", label, hint, required, fields=_fields(_with(schema), f"{name}.", path))
    shape = _shape(schema)
    if "default" not in schema:
        shape["initial"] = ()
    return Field(name, path, label=label, hint=hint, required=required, **shape)


def _shape(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What kind of field, and what is its own of that."""
    default = schema.get("default")
    shape: dict[str, Any] = {"kind": "json", "initial": [_json(default)]}
    if not _COMBINED & schema.keys():
        if isinstance(schema.get("enum"), list):
            return shape | {"kind": "choice", "choices": _choices(schema["enum"])}
        match _type(schema):
            case "boolean":
                return {"kind": "boolean", "initial": ["true"] if default is True else []}
            case "integer" | "number" as number:
                return shape | {"kind": number}
            case "string":
                return {"kind": _text_kind(schema), "initial": [str(default)], **_text(schema)}
            case "array":
                return shape | _list(schema)
    return shape


def _with(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object whose own default is that of its fields."""
    default = schema.get("default")
    if not isinstance(default, dict):
        return schema
    nested = {
        key: {**one, "default": default[key]} if key in default and isinstance(one, dict) else one
        for key, one in schema["properties"].items()
    }
    return {**schema, "properties": nested}


def _list(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing for a list that is typed as JSON."""
    items = schema.get("items")
    default = schema.get("default") if isinstance(schema.get("default"), list) else []
    if not isinstance(items, dict) or _COMBINED & items.keys() or "prefixItems" in schema:
        return {}
    if isinstance(items.get("enum"), list):
        return {"kind": "choices", "initial": [_json(one) for one in default or []], "choices": _choices(items["enum"])}
    if _type(items) in _SIMPLE:
        lines = "\n".join(one if isinstance(one, str) else _json(one) for one in default or [])
        return {"kind": "lines", "initial": [lines], "item": _type(items)}
    return {}


def _type(schema: Mapping[str, Any]) -> str:
    """Empty where there are several, or none."""
    given = schema.get("type")
    if isinstance(given, list):
        given = next(iter(set(given) - {"null"})) if len(set(given) - {"null"}) == 1 else None
    return given if isinstance(given, str) else ""


def _text_kind(schema: Mapping[str, Any]) -> str:
    longest = schema.get("maxLength")
    is_long = isinstance(longest, int) and longest > _LONG_TEXT_CHARACTERS
    wanted = {schema.get("element"), schema.get("format")} & {"textarea", "text", "multiline"}
    return "area" if is_long or wanted or "\n" in str(schema.get("default", "")) else "text"


def _text(schema: Mapping[str, Any]) -> dict[str, Any]:
    form, longest = str(schema.get("format")), schema.get("maxLength")
    return {
        "input_type": _INPUT_TYPES.get(form, "text"),
        "placeholder": _PLACEHOLDERS.get(form, ""),
        "longest": longest if isinstance(longest, int) else None,
    }


def _choices(values: Sequence[Any]) -> Sequence[tuple[str, str]]:
    return [(_json(value), value if isinstance(value, str) else _json(value)) for value in values]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _object(fields: Sequence[Field], typed: Typed, unread: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in fields:
        there, value = _value(one, typed, unread)
        if there:
            found[one.path[-1]] = value
    return found


def _value(one: Field, typed: Typed, unread: dict[str, str]) -> tuple[bool, Any]:
    """Whether there is a value, and which."""
    texts = typed.get(one.name, ())
    text = texts[0] if texts else ""
    there = bool(text.strip())
    value: Any = None
    match one.kind:
        case "submit" | "boolean":
            # A box that is not ticked says no; a button that is not pressed says nothing.
            there, value = bool(texts) or one.kind == "boolean", bool(texts)
        case "object":
            value = _object(one.fields, typed, unread)
            # Boxes that are not ticked are no reason for an object that nobody asked for.
            there = one.required or any(item is not False for item in value.values())
        case "choices":
            value = [_read(one, choice, "json", unread) for choice in texts]
            there = bool(texts) or one.required
        case "lines":
            value = [_read(one, line.strip(), one.item, unread) for line in text.split("\n") if line.strip()]
            there = bool(value) or one.required
        case kind if there:
            value = _read(one, text, kind, unread)
    return there, value


def _read(one: Field, text: str, kind: str, unread: dict[str, str]) -> Any:
    if kind in {"text", "area", "string"}:
        return text
    try:
        value = parsed(text.strip().encode())
    except (ValueError, RecursionError) as error:
        value, words = None, f"{text[:80]!r} is no JSON: {error}"
    else:
        words = ""
    if kind == "integer" and (isinstance(value, bool) or not isinstance(value, int)):
        words = f"{text[:80]!r} is no whole number"
    elif kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        words = f"{text[:80]!r} is no number; write it such as 1.5"
    if words:
        unread.setdefault(one.name, words)
    return value
