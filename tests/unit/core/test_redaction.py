"""What people don't get to see."""

from __future__ import annotations

import base64

import pytest

from controller.redaction import MASK, mask, redact


def test_declaration_comes_before_the_name_when_a_field_is_masked() -> None:
    value = {"key": "a/b.txt", "pin": "1234", "nested": {"key": "x"}}
    assert mask(value, {"key": False, "pin": True}) == {"key": "a/b.txt", "pin": MASK, "nested": {"key": MASK}}


@pytest.mark.parametrize(
    "shown",
    ["s3cret/pw!", "s3cret%2Fpw%21", base64.b64encode(b"ann:s3cret/pw!").decode()],
)
def test_password_is_hidden_in_whatever_form_it_comes_back(shown: str) -> None:
    inputs = {"username": "ann", "password": "s3cret/pw!"}
    assert redact(f"said {shown} to ann", inputs) == f"said {MASK} to ann"


def test_lines_of_a_private_key_are_hidden_when_one_of_them_is_repeated() -> None:
    inputs = {"key": "-----BEGIN-----\nAAAAB3NzaC1yc2EAAAADAQABAAAB\n-----END-----"}
    assert redact("bad line AAAAB3NzaC1yc2EAAAADAQABAAAB", inputs, {"key": True}) == f"bad line {MASK}"


def test_numbers_are_hidden_when_they_are_secrets_and_words_of_the_message_stay() -> None:
    assert redact("pin 12345 failed", {"pin": 12345, "password": "no"}, {"pin": True}) == f"pin {MASK} failed"


def test_password_is_hidden_when_it_stands_in_an_address() -> None:
    inputs = {"repository_url": "https://ann:tok-1234@example.com/x.git"}
    assert redact("user ann, password tok-1234", inputs) == f"user ann, password {MASK}"


@pytest.mark.parametrize("repeated", ["?", "&", "?a", "://", "://a", "://a:b", "=", "@", "?a=&"])
def test_hostile_address_takes_no_longer_than_it_is_long(repeated: str) -> None:
    # Hours, where each beginning looked at all that follows.
    redact(f"http://x/{repeated * 300_000}", {"url": repeated * 300_000})


def test_secret_argument_is_hidden_behind_a_second_question_mark() -> None:
    assert mask("http://x/?a?token=s3cret") == f"http://x/?a?token={MASK}"
