"""Forms: what a message asks for, as a JSON schema; answers are checked against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.errors import InvalidArgument


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


def check_response(form: Mapping[str, Any], response: object, message_id: str) -> None:
    """Raises InvalidArgument that names the first field which does not meet the form."""
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if not isinstance(response, dict):
        raise InvalidArgument(f"message {message_id}: the response has to be an object, not {type(response).__name__}")
    # An empty registry: a form that refers to an address must not make the controller fetch it.
    validator = Draft202012Validator(form, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    try:
        found = sorted(validator.iter_errors(response), key=lambda error: error.json_path)
    except Unresolvable as error:
        raise InvalidArgument(f"message {message_id}: its form refers to what is not in it: {error}") from error
    if found:
        words = "; ".join(f"{error.json_path}: {error.message}" for error in found[:5])
        raise InvalidArgument(
            f"message {message_id}: the response does not meet the form: {words}; look at it with"
            f" `snapctl message show {message_id}`"
        )
