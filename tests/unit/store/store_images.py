"""Image folders for the store's tests: made, and compared."""

from __future__ import annotations

import random
from pathlib import Path

from store import LocalStore

PAGE = 4096


def pages(count: int, seed: int) -> bytes:
    """That many pages, no two alike, that compress somewhat."""
    source = random.Random(seed)
    return b"".join(source.randbytes(512) + bytes(PAGE - 512) for _ in range(count))


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Make the folder hold exactly these files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file's bytes, and None for each folder, by path."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")
    }


def restored(store: LocalStore, savepoint_id: str, folder: Path) -> dict[str, bytes | None]:
    """What get brings back into a new folder."""
    folder.mkdir()
    store.get(savepoint_id, folder)
    return contents(folder)


def packs(store_root: Path) -> list[Path]:
    return sorted((store_root / "packs").iterdir())
