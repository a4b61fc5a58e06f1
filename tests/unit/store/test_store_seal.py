"""What lies in the store tells nothing without its key, and nobody without the key can put anything there."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_images import contents, packs, pages, restored, write

from store import ImageDamaged, LocalStore, StoreError
from store import pack as pack_format
from store.key_file import KeyFile
from store.seal import HEAD_BYTES, Keyring, SealError

# As in a page of a process's memory: it does not compress.
SECRET = bytes(range(7, 200, 3)) + b"-password-of-the-shop-" + bytes(range(200, 7, -3))
KEYS = {b"new!": bytes(range(32)), b"old!": bytes(32)}


@pytest.fixture
def secretive(tmp_path: Path) -> Path:
    return write(tmp_path / "secretive", {"criu/pages-1.img": pages(20, 1) + SECRET, "criu/core-1.img": SECRET})


def files(store_root: Path) -> list[Path]:
    return [path for path in store_root.rglob("*") if path.is_file()]


def test_nothing_of_an_image_is_readable_in_the_files(store: LocalStore, store_root: Path, secretive: Path) -> None:
    store.put("s1", secretive, lineage="the-lineage")
    found = b"".join(path.read_bytes() for path in files(store_root))
    assert len(found) > len(SECRET)
    for words in (SECRET, b"password", b"pages-1.img", b"core-1", b"the-lineage"):
        assert words not in found


def test_equal_images_look_different_when_two_stores_hold_them(tmp_path: Path, secretive: Path) -> None:
    key = tmp_path / "shared.key"
    for name in ("a", "b"):
        LocalStore(tmp_path / name, key_file=key).put("s1", secretive, lineage="x")
    (one,), (other,) = packs(tmp_path / "a"), packs(tmp_path / "b")
    assert one.name != other.name
    assert one.read_bytes()[HEAD_BYTES : HEAD_BYTES + 64] != other.read_bytes()[HEAD_BYTES : HEAD_BYTES + 64]


def test_key_is_made_beside_the_store_for_its_owner_alone(store: LocalStore, store_root: Path) -> None:
    key = store_root.with_name("store.key")
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(KeyFile(key).keys()) == 1


def test_images_of_before_open_when_a_further_key_seals(
    store: LocalStore, store_root: Path, image: Path, tmp_path: Path
) -> None:
    store.put("s1", image, lineage="x")
    KeyFile(store_root.with_name("store.key")).add()
    again = LocalStore(store_root)
    changed = write(image, {"criu/more.img": pages(8, 77)})
    again.put("s2", changed, lineage="x", parent="s1")
    assert restored(again, "s2", tmp_path / "back") == contents(changed)
    again.verify("s1")
    assert len({pack.read_bytes()[8:12] for pack in packs(store_root)}) == 2


def test_store_is_not_opened_when_its_key_is_gone(store: LocalStore, store_root: Path, image: Path) -> None:
    store.put("s1", image, lineage="x")
    key = store_root.with_name("store.key")
    content = key.read_bytes()
    key.unlink()
    with pytest.raises(StoreError, match=r"has no key to open them. Put that file back"):
        LocalStore(store_root)
    assert not key.exists()
    key.write_bytes(content)
    LocalStore(store_root).verify("s1")


@pytest.mark.parametrize("content", [b"nonsense\n", b"abcd\n", b"00112233 4455\n", b"\xff\xfe\n"])
def test_store_is_not_opened_when_its_key_file_is_damaged(store_root: Path, content: bytes) -> None:
    store_root.with_name("store.key").write_bytes(content)
    with pytest.raises(StoreError, match=r"store\.key is damaged"):
        LocalStore(store_root)


def test_image_is_refused_and_its_key_named_when_another_key_sealed_it(
    store: LocalStore, store_root: Path, image: Path, tmp_path: Path
) -> None:
    store.put("s1", image, lineage="x")
    other = LocalStore(store_root, key_file=_key_file(tmp_path / "other.key"))
    with pytest.raises(
        ImageDamaged, match=r"under the key [0-9a-f]{8}, which is not in .*other\.key: put that key back"
    ):
        other.verify("s1")
    with pytest.raises(ImageDamaged):
        other.collect({"s1"}, grace_s=0)
    assert packs(store_root)
    store.verify("s1")


def test_files_of_somebody_without_the_key_are_refused(
    store: LocalStore, store_root: Path, image: Path, tmp_path: Path
) -> None:
    """They know the format, and the key's id, which stands in every file."""
    store.put("s1", image, lineage="x")
    (key_id,) = KeyFile(store_root.with_name("store.key")).keys()
    (tmp_path / "forged.key").write_text(f"{key_id.hex()} {bytes(32).hex()}\n")
    forged = LocalStore(tmp_path / "forged", key_file=tmp_path / "forged.key")
    forged.put("s1", image, lineage="x")
    for path in files(tmp_path / "forged"):
        (store_root / path.relative_to(tmp_path / "forged")).write_bytes(path.read_bytes())
    with pytest.raises(ImageDamaged, match="not what was sealed"):
        LocalStore(store_root).verify("s1")


def test_blocks_are_refused_when_they_change_places(store: LocalStore, store_root: Path, tmp_path: Path) -> None:
    # Blocks of one size: 16 pages that don't compress, each.
    source = b"".join(pages(1, seed)[:512] * 8 for seed in range(64))
    store.put("s1", write(tmp_path / "even", {"criu/pages-1.img": source}), lineage="x")
    (path,) = packs(store_root)
    data = path.read_bytes()
    seal = pack_format.resume(store._keys, data[:HEAD_BYTES])
    footer_bytes = pack_format.parse_trailer(data[-8:])
    footer = pack_format.parse_footer(data[-8 - footer_bytes : -8], bytes.fromhex(path.stem), seal)
    sizes = [block.stored_bytes for block in footer.blocks]
    assert sizes[0] == sizes[1]
    size = sizes[0]
    first, second = data[HEAD_BYTES : HEAD_BYTES + size], data[HEAD_BYTES + size : HEAD_BYTES + 2 * size]
    path.write_bytes(data[:HEAD_BYTES] + second + first + data[HEAD_BYTES + 2 * size :])
    with pytest.raises(ImageDamaged, match="block 0 can't be opened"):
        store.verify("s1")


def test_newest_key_seals_and_each_opens() -> None:
    keys, old = Keyring(KEYS, "the test"), Keyring({b"old!": KEYS[b"old!"]}, "the test")
    head, seal = keys.begin(b"TEST", 1)
    assert head[8:12] == b"new!"
    assert keys.resume(head, b"TEST", 1, "test").open(3, seal.seal(3, b"content")) == b"content"
    old_head, old_seal = old.begin(b"TEST", 1)
    assert keys.resume(old_head, b"TEST", 1, "test").open(0, old_seal.seal(0, b"content")) == b"content"
    with pytest.raises(SealError, match="which is not in the test"):
        old.resume(head, b"TEST", 1, "test")


def test_part_is_refused_when_number_or_head_are_others() -> None:
    keys = Keyring(KEYS, "the test")
    head, seal = keys.begin(b"TEST", 1)
    sealed = seal.seal(0, b"content")
    with pytest.raises(SealError):
        seal.open(1, sealed)
    other_salt = head[:-1] + bytes([head[-1] ^ 1])
    with pytest.raises(SealError):
        keys.resume(other_salt, b"TEST", 1, "test").open(0, sealed)
    for broken in (b"", head[:-1], b"TESS" + head[4:], head[:4] + b"\2" + head[5:]):
        with pytest.raises(SealError):
            keys.resume(broken, b"TEST", 1, "test")
    for short in (b"", sealed[:15], sealed[:-1]):
        with pytest.raises(SealError):
            seal.open(0, short)


def _key_file(path: Path) -> Path:
    KeyFile(path).add()
    return path
