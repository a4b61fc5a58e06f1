"""LocalStore from outside: what is put comes back, costs little, and fails with the right words."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_images import PAGE, contents, packs, pages, restored, write

from store import ImageMissing, LocalStore, StoreError, StoreFull
from store.errors import from_os_error

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in {".", ".."} and len(name.encode()) < 200
)
# Around every size at which cutting changes, with repeated, zero and random stretches.
file_contents = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.builds(lambda seed, count: pages(count, seed), st.integers(0, 5), st.integers(1, 6)),
        st.integers(1, 5).map(lambda count: bytes(count * PAGE)),
        st.sampled_from([b"", bytes(1), bytes(PAGE - 1), bytes(PAGE + 1), b"x" * (4 * PAGE), b"y" * (4 * PAGE - 1)]),
    ),
    max_size=5,
).map(b"".join)
folders = st.dictionaries(
    st.tuples(st.sampled_from(["", "a/", "a/b/", "c/"]), names).map("".join), file_contents, max_size=8
)


def writable(files: dict[str, bytes]) -> bool:
    """Whether no file's name is that of a folder of another file."""
    return not any(other.startswith(name + "/") for name in files for other in files)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(versions=st.lists(folders.filter(writable), min_size=1, max_size=4))
def test_every_image_of_a_lineage_comes_back_when_any_folders_were_put(
    tmp_path_factory: pytest.TempPathFactory, versions: list[dict[str, bytes]]
) -> None:
    root = tmp_path_factory.mktemp("any")
    store = LocalStore(root / "store")
    for number, files in enumerate(versions):
        folder = root / f"image-{number}"
        folder.mkdir()
        store.put(f"s{number}", write(folder, files), lineage="x")
    for number in range(len(versions)):
        assert restored(store, f"s{number}", root / f"back-{number}") == contents(root / f"image-{number}")
        store.verify(f"s{number}")


def test_image_comes_back_when_it_was_put(store: LocalStore, image: Path, tmp_path: Path) -> None:
    (image / "empty-folder").mkdir()
    stored = store.put("s1", image, lineage="x")
    assert restored(store, "s1", tmp_path / "back") == contents(image)
    assert stored.raw_bytes == sum(len(content) for content in contents(image).values() if content)
    assert stored.stored_bytes == store.size_bytes()


@pytest.mark.parametrize("durability", ["host", "process"])
def test_image_comes_back_when_it_is_larger_than_any_buffer(durability: str, tmp_path: Path) -> None:
    # 36 MiB: several windows, compressed in threads, written without being put together in memory.
    image = write(tmp_path / "image", {"pages-1.img": pages(9000, 3) + bytes(50 * PAGE) + pages(100, 3)})
    store = LocalStore(tmp_path / "store", durability="host" if durability == "host" else "process")
    store.put("s1", image, lineage="x")
    assert restored(store, "s1", tmp_path / "back") == contents(image)


def test_file_comes_back_when_its_pages_are_scattered(store: LocalStore, tmp_path: Path) -> None:
    content = [pages(1, number) for number in range(200)]
    for number in range(3):
        content[number::7] = [pages(1, 1000 * (number + 1) + index) for index in range(len(content[number::7]))]
        image = write(tmp_path / "image", {"pages-1.img": b"".join(content)})
        store.put(f"s{number}", image, lineage="x")
    assert restored(store, "s2", tmp_path / "back") == contents(image)


def test_only_changed_pages_are_stored_when_an_image_follows(store: LocalStore, image: Path) -> None:
    first = store.put("s1", image, lineage="x")
    memory = bytearray((image / "criu/pages-1.img").read_bytes())
    memory[40 * PAGE : 41 * PAGE] = pages(1, 99)
    (image / "criu/pages-1.img").write_bytes(memory)
    assert store.put("s2", image, lineage="x").stored_bytes < first.stored_bytes / 20


def test_pages_are_found_again_when_they_moved(store: LocalStore, image: Path, store_root: Path) -> None:
    store.put("s1", image, lineage="x")
    memory = (image / "criu/pages-1.img").read_bytes()
    (image / "criu/pages-1.img").write_bytes(memory[50 * PAGE :] + bytes(7 * PAGE) + memory[: 50 * PAGE])
    store.put("s2", image, lineage="x")
    assert len(packs(store_root)) == 1


def test_zero_pages_cost_nothing(store: LocalStore, store_root: Path, tmp_path: Path) -> None:
    image = write(tmp_path / "image", {"pages-1.img": bytes(5000 * PAGE)})
    assert store.put("s1", image, lineage="x").stored_bytes < 500
    assert packs(store_root) == []
    assert restored(store, "s1", tmp_path / "back") == contents(image)


def test_pages_are_shared_when_another_lineage_begins_with_the_same_image(
    store: LocalStore, image: Path, store_root: Path, tmp_path: Path
) -> None:
    store.put("s1", image, lineage="x")
    (image / "own").write_bytes(b"its own")
    store.put("s2", image, lineage="y")
    assert sum(pack.stat().st_size for pack in packs(store_root)[1:]) < 1000 or len(packs(store_root)) == 2
    assert restored(store, "s2", tmp_path / "back") == contents(image)


def test_pages_are_found_again_when_the_store_was_opened_anew_and_the_parent_is_named(
    store: LocalStore, image: Path, store_root: Path, tmp_path: Path
) -> None:
    store.put("s1", image, lineage="x")
    again = LocalStore(store_root)
    again.put("s2", image, lineage="x", parent="s1")
    assert len(packs(store_root)) == 1
    assert restored(again, "s2", tmp_path / "back") == contents(image)


def test_image_is_stored_when_its_parent_is_gone(store: LocalStore, image: Path, tmp_path: Path) -> None:
    store.put("s2", image, lineage="x", parent="never")
    assert restored(store, "s2", tmp_path / "back") == contents(image)


def test_image_needs_few_packs_when_its_lineage_is_long(store: LocalStore, store_root: Path, tmp_path: Path) -> None:
    content = [pages(1, number) for number in range(200)]
    for number in range(150):
        content[number] = pages(1, 1000 + number)
        store.put(f"s{number}", write(tmp_path / "image", {"pages-1.img": b"".join(content)}), lineage="x")
    for number in range(149):
        store.delete(f"s{number}")
    store.collect({"s149"})
    assert len(packs(store_root)) <= 49
    assert restored(store, "s149", tmp_path / "back") == contents(tmp_path / "image")


def test_hundred_savepoints_of_a_small_process_take_a_twentieth_of_their_size(
    store: LocalStore, tmp_path: Path
) -> None:
    # A real interpreter's memory, as it is after each of a hundred rounds of work.
    script = Path(__file__).with_name("working_process.py")
    raw_bytes = 0
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(100):
            image = tmp_path / "image"
            image.mkdir(exist_ok=True)
            process.stdin.write(f"{image / 'pages-1.img'}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "dumped\n"
            raw_bytes += store.put(f"s{number}", image, lineage="x").raw_bytes
        process.stdin.close()
    assert store.size_bytes() <= raw_bytes * 0.05


def test_image_is_missing_when_it_was_never_put_or_was_deleted(store: LocalStore, image: Path, tmp_path: Path) -> None:
    store.put("s1", image, lineage="x")
    store.delete("s1")
    store.delete("s1")
    with pytest.raises(ImageMissing, match="s1"):
        store.get("s1", tmp_path)
    with pytest.raises(ImageMissing, match="never"):
        store.verify("never")


@pytest.mark.parametrize("savepoint_id", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0", "x" * 129])
def test_id_is_refused_when_it_can_name_no_file(store: LocalStore, image: Path, savepoint_id: str) -> None:
    with pytest.raises(StoreError, match="can't be a savepoint's id"):
        store.put(savepoint_id, image, lineage="x")


def test_put_says_what_failed_when_the_folder_is_not_there(store: LocalStore, store_root: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Image folder .*nowhere could not be read: No such file"):
        store.put("s1", tmp_path / "nowhere", lineage="x")
    assert store.size_bytes() == 0


def test_put_refuses_a_folder_when_it_holds_a_link(store: LocalStore, image: Path) -> None:
    (image / "link").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="neither a file nor a folder"):
        store.put("s1", image, lineage="x")
    with pytest.raises(ImageMissing):
        store.verify("s1")


def test_get_fails_when_the_folder_is_not_empty(store: LocalStore, image: Path) -> None:
    store.put("s1", image, lineage="x")
    with pytest.raises(StoreError, match="File exists"):
        store.get("s1", image)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def test_nothing_of_an_image_remains_when_the_disk_is_full(small_disk: Path, image: Path, tmp_path: Path) -> None:
    store = LocalStore(small_disk / "store")
    store.put("s1", image, lineage="x")
    before = contents(small_disk)
    large = write(tmp_path / "large", {"pages-1.img": pages(4000, 7)})
    with pytest.raises(StoreFull, match="No space left on device"):
        store.put("s2", large, lineage="x")
    assert contents(small_disk) == before
    with pytest.raises(ImageMissing):
        store.verify("s2")
    assert restored(store, "s1", tmp_path / "back") == contents(image)


def test_pack_is_removed_when_the_disk_is_full_for_the_manifest(small_disk: Path, tmp_path: Path) -> None:
    store = LocalStore(small_disk / "store")
    # Many small runs make the manifest large; the pack leaves it no page.
    names = {f"{number:05}-{'n' * 150}": bytes([number % 256]) for number in range(3000)}
    image = write(tmp_path / "image", names)
    filler = small_disk / "filler"
    room = 1
    while True:
        filler.write_bytes(bytes((256 - room) * PAGE))
        try:
            store.put("s1", image, lineage="x")
            break
        except StoreFull:
            assert [path for path in contents(small_disk) if path.startswith(("store/packs/", "store/tmp/"))] == []
        room += 1
    assert room > 1
    store.verify("s1")


def test_put_succeeds_when_room_was_made(small_disk: Path, image: Path) -> None:
    store = LocalStore(small_disk / "store")
    (small_disk / "filler").write_bytes(bytes(255 * PAGE))
    with pytest.raises(StoreFull):
        store.put("s1", image, lineage="x")
    (small_disk / "filler").unlink()
    store.put("s1", image, lineage="x")
    store.verify("s1")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_store_is_full_when_the_kernel_says_so_in_any_way(number: int) -> None:
    assert isinstance(from_os_error("It failed", OSError(number, "words")), StoreFull)


def test_put_says_store_full_when_the_disk_is_read_only(small_disk: Path, image: Path) -> None:
    store = LocalStore(small_disk / "store")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreFull, match="Read-only"):
        store.put("s1", image, lineage="x")
