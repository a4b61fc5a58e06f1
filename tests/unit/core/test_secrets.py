"""Secrets at rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import DataLoss, FailedPrecondition
from controller.secrets import SecretBox


def test_content_comes_back_when_it_is_opened_by_another_box_on_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    sealed = SecretBox(path).seal(b"hush", "a")
    assert b"hush" not in sealed
    assert path.stat().st_mode & 0o777 == 0o600
    assert SecretBox(path).open(sealed, "a") == b"hush"


def test_same_content_looks_different_when_it_is_sealed_twice(tmp_path: Path) -> None:
    box = SecretBox(tmp_path / "key")
    assert box.seal(b"hush", "a") != box.seal(b"hush", "a")


def test_secret_does_not_open_when_it_was_moved_or_changed(tmp_path: Path) -> None:
    box = SecretBox(tmp_path / "key")
    sealed = box.seal(b"hush", "a")
    for content, record in ((sealed, "b"), (sealed[:-1] + bytes([sealed[-1] ^ 1]), "a"), (sealed[:8], "a"), (b"", "a")):
        with pytest.raises(DataLoss, match=f"secrets of {record} are damaged"):
            box.open(content, record)


def test_file_is_named_when_its_key_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    sealed = SecretBox(path).seal(b"hush", "a")
    path.unlink()
    with pytest.raises(FailedPrecondition, match=f"not in {path}; put that file back"):
        SecretBox(path).open(sealed, "a")
    path.write_text("nonsense\n")
    with pytest.raises(FailedPrecondition, match="damaged"):
        SecretBox(path).open(sealed, "a")


def test_old_secrets_open_until_the_old_keys_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "key"
    box = SecretBox(path)
    old = box.seal(b"hush", "a")
    box.add_key()
    new = SecretBox(path).seal(b"hush", "a")
    assert SecretBox(path).open(old, "a") == box.open(new, "a") == b"hush"
    box.drop_old_keys()
    assert SecretBox(path).open(new, "a") == b"hush"
    with pytest.raises(FailedPrecondition):
        SecretBox(path).open(old, "a")
