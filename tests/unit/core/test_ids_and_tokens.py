"""Ids are unique and sortable; tokens belong to one execution."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller import ids
from controller.errors import PermissionDenied
from controller.tokens import AgentTokens, token_hash


def test_ids_differ_and_are_never_numbers() -> None:
    made = {ids.new_id() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[0-9a-z]{14}", one) and not one.isdigit() for one in made)
    assert ids.new_savepoint_id().startswith("sp-")


def test_later_ids_sort_behind_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000_000_000_000
    made = []
    for centiseconds in (0, 1, 31, 32, 100_000, 10_000_000_000):
        monkeypatch.setattr(ids.time, "time_ns", lambda at=now + centiseconds * 10_000_000: at)
        made.append(ids.new_id())
    assert made == sorted(made)


def test_token_names_its_execution_after_a_restart(tmp_path: Path) -> None:
    token = AgentTokens.from_file(tmp_path / "agent.key").token("abc")
    assert AgentTokens.from_file(tmp_path / "agent.key").execution_id(token) == "abc"
    assert (tmp_path / "agent.key").stat().st_mode & 0o777 == 0o600
    assert len(token_hash(token)) == 64


@pytest.mark.parametrize("forge", [lambda t: t[:-1], lambda t: t.replace("abc", "abd"), lambda _: "", lambda _: "é.é"])
def test_token_is_refused_when_forged(forge: object) -> None:
    tokens = AgentTokens(b"key")
    with pytest.raises(PermissionDenied):
        tokens.execution_id(forge(tokens.token("abc")))
    with pytest.raises(PermissionDenied):
        AgentTokens(b"other").execution_id(tokens.token("abc"))
