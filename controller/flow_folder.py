"""Folders as flows: which files belong to one, and which of them holds the handler."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import PurePosixPath

from controller.errors import InvalidArgument

_MAIN_FILES = ("main.py", "flow.py")


def belongs(path: str) -> bool:
    """Neither hidden nor Python's cache; path has slashes, relative to the folder."""
    parts = PurePosixPath(path).parts
    return not any((part.startswith(".") and part != "..") or part == "__pycache__" for part in parts)


def main_file(folder: str, files: Mapping[str, bytes], main: str = "") -> str:
    """The one that was named, else main.py, flow.py, the folder's own name, or the only file with a handler.

    Raises InvalidArgument.
    """
    chosen = main or _found(folder, files)
    if chosen not in files:
        raise InvalidArgument(f"there is no file {chosen!r} in {folder}: name the one with the handler")
    if "/" in chosen:
        raise InvalidArgument(
            f"{chosen!r} stands below {folder}: take the folder with the handler, or name another file"
        )
    return chosen


def _found(folder: str, files: Mapping[str, bytes]) -> str:
    for name in (*_MAIN_FILES, f"{PurePosixPath(folder).name}.py"):
        if name in files:
            return name
    found = [name for name, content in files.items() if name.endswith(".py") and _has_handler(content)]
    if len(found) != 1:
        what = f"{len(found)} files with a handler ({', '.join(found)})" if found else "no file with a handler"
        raise InvalidArgument(f"{folder} has {what}: name the one to run")
    return found[0]


def _has_handler(content: bytes) -> bool:
    try:
        body = ast.parse(content).body
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == "handler" for one in body)
