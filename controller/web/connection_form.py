"""What a connector declares as fields of a form, and what was typed into them as inputs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.errors import InvalidArgument
from controller.ports import ConnectorInput
from controller.values import parsed

PREFIX = "v-"
FORGET = "forget-"
# The words of ConnectorInput.type_name.
_TEXT, _BOOLEAN, _NUMBERS = "a text", "true or false", ("an integer", "a number")
_STRUCTURES = ("a list", "an object")
_JSON_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, _BOOLEAN),
    (int, "an integer"),
    (float, "a number"),
    (list, "a list"),
    (dict, "an object"),
)


@dataclass(frozen=True, slots=True)
class InputField:
    """kind: text, number, choice, json, mixed (JSON or a text), secret. saved: there is a secret, never shown."""

    name: str
    kind: str
    hint: str
    required: bool
    default: str
    choices: Sequence[str]
    value: str
    saved: bool
    main: bool  # says where it leads and who signs in: what a connection is for

    @property
    def used(self) -> bool:
        return bool(self.value) or self.saved


def fields_of(
    declared: Mapping[str, ConnectorInput], value: Mapping[str, Any], secrets: Collection[str]
) -> Sequence[InputField]:
    """Secrets: names of those that are saved; they are never shown."""
    return [_field(name, one, value.get(name), saved=name in secrets) for name, one in declared.items()]


def read(
    declared: Mapping[str, ConnectorInput], form: Sequence[tuple[str, str]], saved: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """The inputs, and the names of the secrets that stay as they are. Raises InvalidArgument for what is no JSON."""
    given = {key.removeprefix(PREFIX): text.replace("\r\n", "\n") for key, text in form if key.startswith(PREFIX)}
    forgotten = {key.removeprefix(FORGET) for key, _ in form if key.startswith(FORGET)}
    inputs = {name: _read(name, one, given[name]) for name, one in declared.items() if given.get(name, "").strip()}
    return inputs, [name for name in saved if name not in inputs and name not in forgotten]


def _field(name: str, declared: ConnectorInput, value: Any, *, saved: bool) -> InputField:
    secret = declared.secret or saved
    choices = declared.choices or (("true", "false") if declared.type_name == _BOOLEAN else ())
    kind = "secret" if secret else "choice" if choices else _kind(declared)
    default = declared.default
    return InputField(
        name=name,
        kind=kind,
        hint=declared.help,
        required=declared.required,
        default="" if default is None or secret else _shown(default),
        choices=choices,
        value="" if value is None or secret else _shown(value),
        saved=saved,
        main=declared.place or secret or declared.required or name == "username",
    )


def _kind(declared: ConnectorInput) -> str:
    kinds = _kinds(declared)
    if kinds == {_TEXT}:
        return "text"
    if kinds <= {*_NUMBERS}:
        return "number"
    return "mixed" if _TEXT in kinds else "json"


def _kinds(declared: ConnectorInput) -> set[str]:
    every = {_TEXT, _BOOLEAN, *_NUMBERS, *_STRUCTURES}
    return every if declared.type_name == "anything" else {kind for kind in every if kind in declared.type_name}


def _read(name: str, declared: ConnectorInput, text: str) -> Any:
    kinds = _kinds(declared)
    if kinds == {_TEXT}:
        return text
    try:
        value = parsed(text.strip().encode())
    except (ValueError, RecursionError) as error:
        if _TEXT not in kinds and kinds & {*_STRUCTURES}:
            raise InvalidArgument(f"input {name} is no JSON: {error}") from error
        # A number that is none: the connector's own check has the words.
        return text
    fits = any(isinstance(value, kind) and words in kinds for kind, words in _JSON_TYPES)
    return value if fits or _TEXT not in kinds else text


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
