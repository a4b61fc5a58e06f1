"""What the IMAP connector reads out of search criteria and names of folders."""

from __future__ import annotations

import pytest

from controller.connectors.imap import _LAST_TERM, _from_mutf7


@pytest.mark.parametrize(
    ("criteria", "term"),
    [('SUBJECT "a b"', "a b"), ("FROM ünal", "ünal"), ("ü ", "ü"), ('TEXT x"y z"', "y z"), ('"a"ü', '"a"ü')],
)
def test_last_term_is_found(criteria: str, term: str) -> None:
    found = _LAST_TERM.search(criteria)
    assert found is not None
    assert (found[1] or found[2]) == term


@pytest.mark.parametrize("repeated", ["a", '"', " ", 'a"', "& ", "a "])
def test_hostile_text_takes_no_longer_than_it_is_long(repeated: str) -> None:
    # Hours, where each beginning looked at all that follows.
    text = repeated * 300_000
    _LAST_TERM.search(f"{text} ü x")
    _from_mutf7(text)


def test_names_beyond_ascii_are_read() -> None:
    assert _from_mutf7("Entw&APw-rfe &- mehr") == "Entwürfe & mehr"
