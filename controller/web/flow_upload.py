"""A flow that was uploaded: a script, a zip, or the files of a folder."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import PurePosixPath

from controller.errors import InvalidArgument
from controller.flow_folder import belongs, main_file
from controller.flows import MAX_FILES
from controller.model import FlowFile

# What macOS puts beside the files.
_TRASH = "__MACOSX/"
# RuntimeError: it has a password.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What Flows.push takes. name: what the flow may be called."""

    name: str
    script: str
    script_file: str
    files: Sequence[FlowFile] = ()


def uploaded(given: Sequence[tuple[str, bytes]], main: str, max_bytes: int) -> Uploaded:
    """From files with the paths under which they were sent. Raises InvalidArgument."""
    path, content = given[0]
    if len(given) == 1 and "/" not in path:
        if not path.lower().endswith(".zip"):
            return Uploaded(PurePosixPath(path).stem, _text(path, content), path)
        return _from_folder(PurePosixPath(path).stem, _unpacked(path, content, max_bytes), main)
    folder, files = _without_top("the folder", dict(given))
    return _from_folder(folder, files, main)


def _from_folder(folder: str, files: Mapping[str, bytes], main: str) -> Uploaded:
    files = {path: content for path, content in sorted(files.items()) if belongs(path)}
    chosen = main_file(folder, files, main)
    others = [FlowFile(path, content) for path, content in files.items() if path != chosen]
    return Uploaded(folder, _text(chosen, files[chosen]), chosen, others)


def _unpacked(name: str, content: bytes, max_bytes: int) -> Mapping[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [one for one in archive.infolist() if not one.is_dir() and _TRASH not in one.filename]
            # What they say of themselves: reading stops there.
            size = sum(one.file_size for one in members)
            if len(members) > MAX_FILES + 1 or size > max_bytes:
                raise InvalidArgument(
                    f"{name} holds {len(members)} files with {size} bytes; a flow has at most {MAX_FILES} beside its"
                    f" script, and {max_bytes} bytes"
                )
            files = {one.filename: archive.read(one) for one in members}
    except _UNREADABLE as error:
        raise InvalidArgument(f"{name} is no zip that can be read: {error}") from error
    return _without_top(name, files)[1]


def _without_top(name: str, files: Mapping[str, bytes]) -> tuple[str, Mapping[str, bytes]]:
    """The one folder that all stand in, and what is in there; else the name and all of it."""
    tops = {path.partition("/")[0] for path in files}
    if len(tops) != 1 or not all("/" in path for path in files):
        return name, files
    return tops.pop(), {path.partition("/")[2]: content for path, content in files.items()}


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{name} is no UTF-8 text: {error}") from error
