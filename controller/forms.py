"""Forms: what a message asks for, as a JSON schema; answers are checked against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.errors import InvalidArgument

if TYPE_CHECKING:
    from jsonschema import ValidationError

# Of what a response does not meet, so much is told.
_MOST_PROBLEMS = 1000
_WORDS_CHARACTERS = 1000
_PROBLEMS_NAMED = 5
# Keywords and formats whose check takes time by the size of form and value alone; other validators have no such bound.
_PLAIN_KEYWORDS = frozenset(
    {
        *("type", "properties", "required", "items", "prefixItems", "additionalProperties", "enum", "const", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
        *("minItems", "maxItems", "minProperties", "maxProperties", "dependentRequired", "$schema", "$comment"),
    }
)
_PLAIN_FORMATS = frozenset({"date", "date-time", "time", "email", "idn-email", "ipv4", "ipv6", "uuid"})


@dataclass(frozen=True, slots=True)
class Problem:
    """What a response does not meet. path: keys and indexes from its top to the value, or to where one is missing."""

    path: tuple[str | int, ...]
    place: str  # the same as text: $.items[0]
    words: str


def text_form(text: str) -> dict[str, Any]:
    """A text to be read, and acknowledged."""
    return {
        "type": "object",
        "properties": {
            "message": {"element": "markdown", "description": text, "order": 1},
            "acknowledge": {"element": "submit", "label": "OK", "type": "boolean", "order": 2},
        },
    }


def request_form(label: str) -> dict[str, Any]:
    """One text is asked for, under the key "string"."""
    return {
        "type": "object",
        "properties": {
            "string": {"element": "string", "label": label, "type": "string", "order": 1},
            "submit": {"element": "submit", "label": "OK", "type": "boolean", "order": 2},
        },
        "required": ["string"],
    }


def check_form(form: object) -> None:
    """A form is a JSON schema of an object. Raises InvalidArgument with the validator's words."""
    # It takes 60 ms to import: a controller without messages does not pay for it.
    from jsonschema import Draft202012Validator, SchemaError

    if not isinstance(form, dict):
        raise InvalidArgument(f"a message's body is a JSON schema, an object, not {type(form).__name__}")
    if form.get("type", "object") != "object":
        raise InvalidArgument(f"a message's body describes an object, not {form['type']!r}; put the value under a key")
    try:
        Draft202012Validator.check_schema(form)
    except SchemaError as error:
        raise InvalidArgument(f"the message's body is no JSON schema: {error.json_path}: {error.message}") from error


def is_plain(form: object) -> bool:
    """Whether it can't be made to take long: it has no patterns, no references and no schemas that are combined."""
    from jsonschema import Draft202012Validator

    if not isinstance(form, dict):
        return True
    kind = form.get("format")
    if isinstance(kind, str) and kind in Draft202012Validator.FORMAT_CHECKER.checkers and kind not in _PLAIN_FORMATS:
        return False
    for keyword in form:
        if keyword not in _PLAIN_KEYWORDS and (keyword.startswith("$") or keyword in Draft202012Validator.VALIDATORS):
            return False
    properties, prefix = form.get("properties"), form.get("prefixItems")
    return all(
        map(
            is_plain,
            (
                *(properties.values() if isinstance(properties, dict) else ()),
                *(prefix if isinstance(prefix, list) else ()),
                form.get("items"),
                form.get("additionalProperties"),
            ),
        )
    )


def problems(form: Mapping[str, Any], response: object, message_id: str) -> Sequence[Problem]:
    """By place; empty for a response that meets the form. Raises InvalidArgument for a form that can't be followed."""
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # An empty registry: a form that refers to an address must not make the controller fetch it.
    validator = Draft202012Validator(form, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    try:
        found = sorted(validator.iter_errors(response), key=lambda error: error.json_path)
    except Unresolvable as error:
        raise InvalidArgument(f"message {message_id}: its form refers to what is not in it: {error}") from error
    return [
        Problem(path, error.json_path, error.message[:_WORDS_CHARACTERS])
        for error in found[:_MOST_PROBLEMS]
        for path in _paths(tuple(error.absolute_path), error)
    ]


def _paths(path: tuple[str | int, ...], error: ValidationError) -> Sequence[tuple[str | int, ...]]:
    """That of the value; of what is required, that of the value which is missing."""
    if error.validator != "required" or not isinstance(error.instance, dict):
        return [path]
    required: Any = error.validator_value
    missing = [name for name in required if name not in error.instance]
    return [(*path, name) for name in missing if error.message.startswith(repr(name))] or [path]


def problems_text(found: Sequence[Problem], message_id: str) -> str:
    """The first of them, as a refusal."""
    words = "; ".join(f"{problem.place}: {problem.words}" for problem in found[:_PROBLEMS_NAMED])
    return (
        f"message {message_id}: the response does not meet the form: {words}; look at it with"
        f" `snapctl message show {message_id}`"
    )
