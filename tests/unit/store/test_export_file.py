"""Export files: whole and unaltered, or refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from store_images import contents, pages, write
from zstandard import ZstdCompressor

from store import ImageDamaged, StoreError, StoreFull, export_file
from store.export_file import MAGIC, ExportFile

RECORD = {"execution": {"name": "ü"}, "numbers": [1, 2]}


@pytest.fixture
def exported(image: Path, tmp_path: Path) -> Path:
    path = tmp_path / "file.fsnap"
    path.write_bytes(b"".join(piece.data for piece in export_file.write(RECORD, image)))
    return path


def made(path: Path, body: bytes) -> ExportFile:
    """A file with a right hash and whatever body."""
    content = MAGIC + struct.pack("<I", 1) + ZstdCompressor().compress(body)
    path.write_bytes(content + blake3(content).digest())
    return ExportFile(path)


def header(**fields: Any) -> bytes:
    text = json.dumps({"record": {}, "folders": [], "files": [], **fields}).encode()
    return struct.pack("<I", len(text)) + text


def test_what_was_written_comes_back(exported: Path, image: Path, tmp_path: Path) -> None:
    file = ExportFile(exported)
    file.verify()
    assert file.record() == RECORD
    back = tmp_path / "back"
    back.mkdir()
    file.extract(back)
    assert contents(back) == contents(image)


def test_progress_counts_the_image_s_bytes(image: Path) -> None:
    write(image, {"large": pages(1000, 3)})
    pieces = list(export_file.write(RECORD, image))
    assert pieces[-1].done_bytes == export_file.folder_bytes(image)
    assert [piece.done_bytes for piece in pieces] == sorted(piece.done_bytes for piece in pieces)


def test_a_file_that_was_cut_short_anywhere_is_refused(exported: Path) -> None:
    content = exported.read_bytes()
    for length in (0, 5, 12, 40, len(content) // 2, len(content) - 1):
        exported.write_bytes(content[:length])
        with pytest.raises(ImageDamaged):
            ExportFile(exported).verify()


def test_a_file_of_which_any_byte_was_altered_is_refused(exported: Path) -> None:
    content = exported.read_bytes()
    for place in (0, 9, 13, len(content) // 3, len(content) - 33, len(content) - 1):
        altered = bytearray(content)
        altered[place] ^= 1
        exported.write_bytes(altered)
        with pytest.raises(ImageDamaged):
            ExportFile(exported).verify()
    exported.write_bytes(content + b"x")
    with pytest.raises(ImageDamaged, match="altered"):
        ExportFile(exported).verify()


def test_another_format_is_told_from_damage(exported: Path) -> None:
    exported.write_bytes(MAGIC + struct.pack("<I", 7) + bytes(100))
    with pytest.raises(ImageDamaged, match="format 7"):
        ExportFile(exported).verify()
    exported.write_text("PK, and more of a zip file")
    with pytest.raises(ImageDamaged, match="no file of `snapctl export`"):
        ExportFile(exported).verify()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "ends within its record"),
        (struct.pack("<I", 2**32 - 1), "4294967295 bytes"),
        (struct.pack("<I", 4) + b"nope", "can't be read"),
        (struct.pack("<I", 2) + b"[]", "can't be read"),
        (struct.pack("<I", 2) + b"{}", "lacks files, folders, record"),
        (header(files=[["../x", 0]]), "no safe path"),
        (header(files=[["/x", 0]]), "no safe path"),
        (header(files=[["a//x", 0]]), "no safe path"),
        (header(files=[["a/x", 0]]), "no safe path"),
        (header(files=[[".", 0]]), "no safe path"),
        (header(files=[["x\0", 0]]), "no file name"),
        (header(folders=["a", "a/../.."]), "no safe path"),
        (header(folders=[1]), "no file name"),
        (header(files={}), "list of files is none"),
        (header(files=[["x", -1]]), "an entry that is none"),
        (header(files=[["x", True]]), "an entry that is none"),
        (header(files=[["x", 0], ["x", 0]]), "twice"),
        (header(files=[["x", 3]]) + b"ab", "ends within 'x'"),
        (header() + b"more", "more in it"),
    ],
)
def test_a_file_with_a_right_hash_is_refused_when_it_makes_no_sense(tmp_path: Path, body: bytes, words: str) -> None:
    file = made(tmp_path / "file", body)
    file.verify()
    back = tmp_path / "back"
    back.mkdir()
    with pytest.raises(ImageDamaged, match=words):
        file.extract(back)
    assert not [path for path in tmp_path.rglob("*") if path not in {back, tmp_path / "file"} and path.parent != back]


def test_what_can_t_be_unpacked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = MAGIC + struct.pack("<I", 1) + b"this is no zstd frame"
    path.write_bytes(content + blake3(content).digest())
    with pytest.raises(ImageDamaged, match="can't be unpacked"):
        ExportFile(path).record()


def test_a_folder_that_is_gone_or_a_disk_that_is_full_is_told(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="could not be written"):
        ExportFile(exported).extract(tmp_path / "nowhere")
    assert issubclass(StoreFull, StoreError)
    with pytest.raises(StoreError):
        ExportFile(tmp_path / "nothing").verify()
