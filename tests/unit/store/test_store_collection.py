"""Garbage collection: what nobody needs goes, what anybody needs stays, whatever runs beside it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_images import PAGE, contents, packs, pages, restored, write

from store import Collected, ImageDamaged, ImageMissing, LocalStore
from store.catalog import Catalog
from store.index import ImageIndex


def test_nothing_is_removed_when_all_is_live(store: LocalStore, image: Path) -> None:
    store.put("s1", image, lineage="x")
    assert store.collect({"s1"}, grace_s=0) == Collected(0, 0, 0)
    store.verify("s1")


def test_everything_is_removed_when_nothing_is_live(store: LocalStore, image: Path) -> None:
    store.put("s1", image, lineage="x")
    size = store.size_bytes()
    assert store.collect(set(), grace_s=0, dry_run=True) == Collected(1, size, 1)
    assert store.size_bytes() == size
    assert store.collect(set(), grace_s=0) == Collected(1, size, 1)
    assert store.size_bytes() == 0
    with pytest.raises(ImageMissing):
        store.verify("s1")


def test_foreign_files_stay_when_everything_is_removed(store: LocalStore, image: Path, store_root: Path) -> None:
    store.put("s1", image, lineage="x")
    foreign = store_root / "packs/backup of yesterday.pack"
    foreign.touch()
    assert store.collect(set(), grace_s=0).removed_packs == 1
    assert packs(store_root) == [foreign]


def test_shared_packs_stay_when_the_first_image_of_a_lineage_is_deleted(
    store: LocalStore, image: Path, tmp_path: Path
) -> None:
    store.put("s1", image, lineage="x")
    store.put("s2", image, lineage="x")
    store.delete("s1")
    assert store.collect({"s2"}) == Collected(0, 0, 0)
    assert restored(store, "s2", tmp_path / "back") == contents(image)


def test_manifest_stays_when_it_is_younger_than_the_grace_period(store: LocalStore, image: Path) -> None:
    store.put("s1", image, lineage="x")
    assert store.collect(set()) == Collected(0, 0, 0)
    store.verify("s1")


def test_chunks_are_written_anew_when_their_pack_was_collected(store: LocalStore, image: Path, tmp_path: Path) -> None:
    store.put("s1", image, lineage="x")
    store.collect(set(), grace_s=0)
    store.put("s2", image, lineage="x")
    store.put("s3", image, lineage="y")
    assert restored(store, "s2", tmp_path / "back") == contents(image)
    store.verify("s3")


def test_nothing_is_removed_when_a_live_manifest_is_damaged(store: LocalStore, image: Path, store_root: Path) -> None:
    store.put("s1", image, lineage="x")
    store.put("s2", write(image, {"more": pages(10, 5)}), lineage="x")
    manifest = store_root / "manifests/s2.manifest"
    manifest.write_bytes(manifest.read_bytes()[:-1])
    before = packs(store_root)
    with pytest.raises(ImageDamaged, match=r"s2\.manifest"):
        store.collect({"s1", "s2"}, grace_s=0)
    assert packs(store_root) == before
    store.collect({"s1"}, grace_s=0)
    assert len(packs(store_root)) == 1


CRASH = """
import os, signal, sys
from pathlib import Path
from store import LocalStore
class Crashing(LocalStore):
    def _write_manifest(self, path, temporary, data):
        temporary.write_bytes(data[:10])
        os.kill(os.getpid(), signal.SIGKILL)
store = Crashing(Path(sys.argv[1]), durability="host")
store.put("s2", Path(sys.argv[2]), lineage="x", parent="s1")
"""


def test_leftovers_are_collected_when_a_process_was_killed_between_pack_and_manifest(
    store: LocalStore, image: Path, store_root: Path, tmp_path: Path
) -> None:
    store.put("s1", image, lineage="x")
    before = contents(store_root)
    more = write(tmp_path / "more", {"pages-1.img": pages(50, 8)})
    killed = subprocess.run([sys.executable, "-c", CRASH, store_root, more], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(packs(store_root)) == 2
    again = LocalStore(store_root)
    with pytest.raises(ImageMissing):
        again.verify("s2")
    assert again.collect({"s1"}).removed_packs == 1
    assert contents(store_root) == before
    again.put("s2", more, lineage="x")
    again.verify("s2")


def test_every_live_image_is_whole_when_puts_loads_and_collections_ran_at_the_same_time(
    store: LocalStore, tmp_path: Path
) -> None:
    # Four lineages share their first image and drop old savepoints; the collector runs all the while, without grace.
    live: dict[str, dict[str, bytes | None]] = {}
    rounds = 25

    def execution(number: int) -> None:
        source = random.Random(number)
        memory = bytearray(pages(60, 1))
        previous = None
        for step in range(rounds):
            for _ in range(4):
                page = source.randrange(60)
                memory[page * PAGE : (page + 1) * PAGE] = pages(1, source.randrange(30))
            name = f"e{number}-{step}"
            folder = write(tmp_path / f"image-{number}", {"pages-1.img": bytes(memory), "core.img": bytes([step])})
            live[name] = contents(folder)
            parent = source.choice([None, previous, f"e{(number + 1) % 4}-{step // 2}"])
            store.put(name, folder, lineage=f"e{number}", parent=parent)
            assert restored(store, name, tmp_path / f"back-{name}") == live[name]
            if previous is not None and source.random() < 0.7:
                store.delete(previous)
                del live[previous]
            previous = name

    with ThreadPoolExecutor(5) as threads:
        running = [threads.submit(execution, number) for number in range(4)]
        collections = 0
        while not all(future.done() for future in running) or not collections:
            store.collect([f"e{number}-{step}" for number in range(4) for step in range(rounds)], grace_s=0)
            collections += 1
        for future in running:
            future.result()
    store.collect(list(live), grace_s=0)
    for name, expected in live.items():
        assert restored(store, name, tmp_path / f"again-{name}") == expected


def test_pack_stays_when_a_put_that_used_it_ended_while_the_collection_ran(tmp_path: Path) -> None:
    catalog, pack, path = Catalog(), bytes(32), tmp_path / "pack"
    path.touch()
    catalog.remember("x", ImageIndex("s1", [pack], {b"digest": 0}), as_base=False)
    with catalog.collecting():
        with catalog.lease("s2", "x") as lease:
            assert lease.newest is not None
        catalog.forget([pack])
        assert not catalog.remove_pack(pack, path)
    with catalog.collecting():
        assert catalog.remove_pack(pack, path)
    with catalog.lease("s3", "x") as lease:
        assert lease.newest is not None
        assert lease.newest.locations == {}


def test_manifest_stays_when_it_is_being_written(tmp_path: Path) -> None:
    catalog, path = Catalog(), tmp_path / "s1.manifest"
    path.touch()
    with catalog.lease("s1", "x"):
        assert not catalog.remove_manifest("s1", path)
    assert catalog.remove_manifest("s1", path)


def test_pack_of_a_put_that_failed_stays_when_another_put_uses_it(tmp_path: Path) -> None:
    catalog, pack, path, temporary = Catalog(), bytes(32), tmp_path / "pack", tmp_path / "temporary"
    temporary.touch()
    with catalog.lease("s1", "x") as failing:
        failing.publish(pack, temporary, path)
        with catalog.lease("s2", "y") as other:
            temporary.touch()
            other.publish(pack, temporary, path)
            other.commit(ImageIndex("s2", [pack], {}), as_base=False)
    assert path.exists()


def test_lineages_longest_unused_are_forgotten_when_there_are_too_many_chunks() -> None:
    catalog = Catalog(chunks_limit=250)
    for lineage in ("a", "b", "c"):
        index = ImageIndex("s", [], {f"{lineage}{number}".encode(): -1 for number in range(100)})
        catalog.remember(lineage, index, as_base=False)
    with catalog.lease("s1", "a") as lease:
        assert lease.newest is None
    with catalog.lease("s1", "b") as lease:
        assert lease.newest is not None
