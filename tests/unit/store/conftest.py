"""Parts that the store's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_images import pages, write

from store import LocalStore


@pytest.fixture
def store_root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(store_root: Path) -> LocalStore:
    return LocalStore(store_root)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image folder as an agent leaves it, in small."""
    files = {f"criu/core-{number}.img": bytes([number]) * 700 for number in range(1, 30)}
    files |= {
        "criu/pages-1.img": pages(100, 1),
        "scratch.bin": pages(5, 2) + b"tail",
        "image.json": b"{}",
        "empty": b"",
    }
    return write(tmp_path / "image", files)
