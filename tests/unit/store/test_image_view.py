"""ImageView: parts of files come back as they were put, and little is read for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_images import PAGE, packs, pages, write

from store import ImageDamaged, ImageMissing, LocalStore
from store.chunk import digest_of

FILES = {
    "empty": b"",
    "small": b"s" * 100,
    "criu/pages-1.img": pages(40, 1) + bytes(6 * PAGE) + pages(5, 2) + b"tail",
    "zeros": bytes(8 * PAGE),
    "just-large": pages(4, 3),
    "just-small": pages(4, 4)[:-1],
}


@pytest.fixture
def filled(store: LocalStore, tmp_path: Path) -> LocalStore:
    store.put("s1", write(tmp_path / "one", {**FILES, "criu/pages-1.img": pages(30, 1)}), lineage="x")
    store.put("s2", write(tmp_path / "two", FILES), lineage="x")
    return store


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(FILES)), offset=st.integers(-1, 60 * PAGE), length=st.integers(0, 30 * PAGE))
def test_any_part_comes_back_when_it_is_read(filled: LocalStore, name: str, offset: int, length: int) -> None:
    expected = FILES[name][offset : offset + length] if offset >= 0 else b""
    with filled.view("s2") as view:
        assert view.read(name, offset, length) == expected
        assert view.size(name) == len(FILES[name])


def test_files_are_listed_when_an_image_is_viewed(filled: LocalStore) -> None:
    with filled.view("s2") as view:
        assert sorted(view.names()) == sorted(FILES)


@pytest.mark.parametrize("name", sorted(FILES))
def test_digests_are_those_of_the_pages_when_they_are_asked_for(filled: LocalStore, name: str) -> None:
    expected = [digest_of(FILES[name][at : at + PAGE]) for at in range(0, len(FILES[name]), PAGE)]
    with filled.view("s2") as view:
        assert list(view.page_digests(name)) == expected


def test_image_is_missing_when_it_was_never_put(store: LocalStore) -> None:
    with pytest.raises(ImageMissing, match="No image of savepoint"):
        store.view("nothing")


def test_damage_is_noticed_when_a_block_that_is_read_was_changed(filled: LocalStore, store_root: Path) -> None:
    again = LocalStore(store_root)
    for pack in packs(store_root):
        data = bytearray(pack.read_bytes())
        data[20] ^= 1
        pack.write_bytes(data)
    with again.view("s2") as view, pytest.raises(ImageDamaged):
        view.read("criu/pages-1.img", 0, 50 * PAGE)


def test_other_blocks_are_not_read_when_one_page_is(store: LocalStore, store_root: Path, tmp_path: Path) -> None:
    """Everything behind the first block is damaged, and nobody notices."""
    store.put("s", write(tmp_path / "one", {"pages": pages(1000, 7)}), lineage="x")
    (pack,) = packs(store_root)
    data = bytearray(pack.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1000] = bytes(1000)
    pack.write_bytes(data)
    with LocalStore(store_root).view("s") as view:
        assert view.read("pages", 3 * PAGE, PAGE) == pages(1000, 7)[3 * PAGE : 4 * PAGE]
        with pytest.raises(ImageDamaged):
            view.read("pages", 0, 1000 * PAGE)
