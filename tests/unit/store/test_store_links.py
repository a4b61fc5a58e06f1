"""Links: a further image onto the same content."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from store_images import contents, packs, pages, restored, write

from store import Collected, ImageDamaged, ImageMissing, LocalStore, StoreError
from store import manifest as manifests


def test_a_link_has_the_same_content_and_adds_no_pack(
    store: LocalStore, image: Path, store_root: Path, tmp_path: Path
) -> None:
    store.put("s1", image, lineage="x")
    before = packs(store_root)
    linked = store.link("s1", "s2", lineage="y")
    assert packs(store_root) == before
    assert linked.raw_bytes == sum(len(content) for content in contents(image).values() if content)
    assert linked.stored_bytes == (store_root / "manifests/s2.manifest").stat().st_size
    assert restored(store, "s2", tmp_path / "back") == contents(image)
    store.verify("s2")


def test_a_link_outlives_what_it_was_made_from(store: LocalStore, image: Path, tmp_path: Path) -> None:
    store.put("s1", image, lineage="x")
    store.link("s1", "s2", lineage="y")
    store.delete("s1")
    assert store.collect({"s2"}, grace_s=0) == Collected(0, 0, 0)
    assert restored(store, "s2", tmp_path / "back") == contents(image)
    store.delete("s2")
    assert store.collect(set(), grace_s=0).removed_packs == 1


def test_the_next_image_shares_pages_with_the_link_that_it_came_from(
    store: LocalStore, image: Path, store_root: Path, tmp_path: Path
) -> None:
    store.put("s1", image, lineage="x")
    store.link("s1", "s2", lineage="y")
    # A store that was opened anew knows of no lineage.
    reopened = LocalStore(store_root)
    write(image, {"more": pages(3, 9)})
    added = reopened.put("s3", image, lineage="y", parent="s2")
    assert added.stored_bytes < 64 * 1024
    assert restored(reopened, "s3", tmp_path / "back") == contents(image)


def test_a_link_is_refused_when_there_is_nothing_to_link_to(store: LocalStore, image: Path, store_root: Path) -> None:
    with pytest.raises(ImageMissing, match="s1"):
        store.link("s1", "s2", lineage="y")
    store.put("s1", image, lineage="x")
    for pack in packs(store_root):
        pack.unlink()
    with pytest.raises(ImageDamaged, match="s1"):
        store.link("s1", "s2", lineage="y")
    with pytest.raises(StoreError, match="can't be a savepoint's id"):
        store.link("s1", "../s2", lineage="y")
    with pytest.raises(ImageMissing):
        store.verify("s2")
    assert not list((store_root / "tmp").iterdir())


def test_a_link_is_whole_or_refused_when_the_source_is_collected_at_the_same_time(
    store: LocalStore, image: Path, store_root: Path
) -> None:
    for turn in range(30):
        write(image, {"changing": pages(4, turn)})
        store.put("s1", image, lineage=f"x{turn}")
        start = threading.Barrier(2)
        linked: list[bool] = []

        def link(start: threading.Barrier = start, linked: list[bool] = linked) -> None:
            start.wait()
            try:
                store.link("s1", "s2", lineage="y")
            except ImageMissing:
                return
            linked.append(True)

        linking = threading.Thread(target=link)
        linking.start()
        start.wait()
        store.delete("s1")
        store.collect({"s2"}, grace_s=0)
        linking.join()
        if linked:
            store.verify("s2")
        store.delete("s2")
        store.collect(set(), grace_s=0)
        assert not packs(store_root)


def test_a_link_says_whose_image_it_is(store: LocalStore, image: Path, store_root: Path) -> None:
    store.put("s1", image, lineage="x")
    store.link("s1", "s2", lineage="y")
    found = manifests.decode((store_root / "manifests/s2.manifest").read_bytes(), "s2", store._keys)
    assert (found.savepoint_id, found.lineage) == ("s2", "y")
