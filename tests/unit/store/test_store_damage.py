"""Whatever is wrong in the store's files is noticed: wrong bytes never come back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from store_images import contents, packs, restored

from store import ImageDamaged, LocalStore
from store.errors import ImageMissing
from store.manifest import Manifest, ManifestError, Run, StoredFile, decode
from store.seal import Keyring

KEYS = Keyring({b"test": bytes(32)}, "the test")


def flipped(path: Path, offset: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


@pytest.fixture
def stored(store: LocalStore, image: Path) -> LocalStore:
    store.put("s1", image, lineage="x")
    return store


def assert_refused(store_root: Path, path: Path, tmp_path: Path) -> None:
    """By a store that has just been opened, and by get as well as verify."""
    store = LocalStore(store_root)
    with pytest.raises(ImageDamaged, match=path.name):
        store.verify("s1")
    back = tmp_path / "back"
    back.mkdir(exist_ok=True)
    with pytest.raises(ImageDamaged, match=path.name):
        store.get("s1", back)


@pytest.mark.parametrize("place", ["header", "first block", "last block", "footer", "trailer length", "trailer magic"])
def test_image_is_refused_when_a_byte_of_its_pack_is_flipped(
    stored: LocalStore, store_root: Path, tmp_path: Path, place: str
) -> None:
    (pack,) = packs(store_root)
    footer = int.from_bytes(pack.read_bytes()[-8:-4], "little")
    offset = {
        "header": 5,
        "first block": 40,
        "last block": -8 - footer - 1,
        "footer": -8 - footer // 2,
        "trailer length": -8,
        "trailer magic": -1,
    }[place]
    flipped(pack, offset)
    assert_refused(store_root, pack, tmp_path)


def test_image_is_refused_when_any_bit_of_its_pack_or_manifest_is_flipped(stored: LocalStore, store_root: Path) -> None:
    source = random.Random(5)
    for path in (*packs(store_root), store_root / "manifests" / "s1.manifest"):
        good = path.read_bytes()
        for offset in {*range(50), *source.sample(range(len(good)), 300), *range(len(good) - 50, len(good))}:
            flipped(path, offset, source.randrange(8))
            with pytest.raises(ImageDamaged, match=path.name):
                stored.verify("s1")
            path.write_bytes(good)
    stored.verify("s1")


@pytest.mark.parametrize("length", [0, 1, 7, 8, 16, -1, -100])
def test_image_is_refused_when_its_pack_or_manifest_is_cut(
    stored: LocalStore, store_root: Path, tmp_path: Path, length: int
) -> None:
    for path in (*packs(store_root), store_root / "manifests" / "s1.manifest"):
        good = path.read_bytes()
        path.write_bytes(good[:length])
        assert_refused(store_root, path, tmp_path)
        path.write_bytes(good)


def test_image_is_refused_when_its_pack_is_gone(stored: LocalStore, store_root: Path, tmp_path: Path) -> None:
    (pack,) = packs(store_root)
    pack.unlink()
    assert_refused(store_root, pack, tmp_path)


def test_image_is_refused_when_its_manifest_is_that_of_another(stored: LocalStore, store_root: Path) -> None:
    (store_root / "manifests/s1.manifest").rename(store_root / "manifests/s2.manifest")
    with pytest.raises(ImageDamaged, match="it is that of savepoint s1"):
        stored.verify("s2")
    with pytest.raises(ImageMissing):
        stored.verify("s1")


def test_image_is_stored_whole_when_its_parent_is_damaged(
    stored: LocalStore, store_root: Path, image: Path, tmp_path: Path
) -> None:
    (pack,) = packs(store_root)
    flipped(pack, -20)
    store = LocalStore(store_root)
    store.put("s2", image, lineage="x", parent="s1")
    assert restored(store, "s2", tmp_path / "whole") == contents(image)


def of(
    *files: StoredFile, folders: tuple[str, ...] = (), packs: tuple[bytes, ...] = (bytes(32),), keys: Keyring = KEYS
) -> bytes:
    """A manifest file that was sealed."""
    return Manifest("s1", "x", packs, folders, files).encode(keys)


ONE = (Run(0, 0, 1),)


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../x", "/etc/cron.d/x", "a/../../x", "a//b", "a/", "not-listed/x", "x\0y", "a/./b"]
)
def test_manifest_is_refused_when_a_name_leads_elsewhere(store_root: Path, tmp_path: Path, name: str) -> None:
    store = LocalStore(store_root)
    keys = store._keys
    for data in (of(StoredFile(name, 1, ONE), folders=("a",), keys=keys), of(folders=("a", name), keys=keys)):
        (store_root / "manifests/s1.manifest").write_bytes(data)
        with pytest.raises(ImageDamaged, match=r"safe path|not a file name"):
            store.get("s1", tmp_path)


def test_manifest_is_refused_when_a_name_stands_twice() -> None:
    with pytest.raises(ManifestError, match="twice"):
        decode(of(StoredFile("x", 1, ONE), StoredFile("x", 1, ONE)), "s1", KEYS)


@pytest.mark.parametrize(
    "file",
    [
        StoredFile("x", 1, ()),
        StoredFile("x", 0, ONE),
        StoredFile("x", -1, ()),
        StoredFile("x", 1, (Run(1, 0, 1),)),
        StoredFile("x", 1, (Run(-2, 0, 1),)),
        StoredFile("x", 1, (Run(0, -1, 1),)),
        StoredFile("x", 1, (Run(-1, 0, 1),)),
        StoredFile("x", 5 * 4096, (Run(0, 0, 4),)),
        StoredFile("x", 5 * 4096, (Run(0, 0, 6), Run(0, 0, -1))),
    ],
)
def test_manifest_is_refused_when_chunks_and_size_do_not_agree(file: StoredFile) -> None:
    with pytest.raises(ManifestError):
        decode(of(file), "s1", KEYS)


def test_image_is_refused_when_its_chunks_have_other_lengths_than_its_manifest_says(
    stored: LocalStore, store_root: Path, tmp_path: Path
) -> None:
    (pack,) = packs(store_root)
    data = of(StoredFile("x", 3, ONE), packs=(bytes.fromhex(pack.stem),), keys=stored._keys)
    (store_root / "manifests/s1.manifest").write_bytes(data)
    with pytest.raises(ImageDamaged, match="length"):
        stored.get("s1", tmp_path)


def test_image_is_refused_when_its_manifest_asks_for_chunks_that_the_pack_has_not(
    stored: LocalStore, store_root: Path
) -> None:
    (pack,) = packs(store_root)
    data = of(StoredFile("x", 3, (Run(0, 100_000, 1),)), packs=(bytes.fromhex(pack.stem),), keys=stored._keys)
    (store_root / "manifests/s1.manifest").write_bytes(data)
    with pytest.raises(ImageDamaged, match="chunk 100000 is asked for"):
        stored.verify("s1")
