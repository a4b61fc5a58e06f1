"""Where a flow comes from: a file, a folder with helper modules, or a command with its script."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controller.cli import inputs
from controller.cli.errors import usage_error
from controller.errors import InvalidArgument
from controller.flow_folder import belongs, main_file

# In the sandbox; the files of a flow stand here.
_FLOW_DIR = "/flow"
_COMMAND_FILE = "_command.py"
_COMMAND_SCRIPT = '''\
"""{title}"""

import flow_api.shell


def handler(system, this):
    flow_api.shell.run(system, this, {command})
'''


@dataclass(frozen=True, slots=True)
class Source:
    """A flow as it is sent. name: what it is shown under; script_file: the file that holds the handler."""

    name: str
    script: str
    script_file: str
    files: dict[str, bytes] = field(default_factory=dict)


def from_path(path: Path, main: str = "") -> Source:
    """A script's file, or a folder; main: the folder's file with the handler. CliError where it can't be read."""
    if path.is_dir():
        return _from_folder(path, main)
    if main:
        raise usage_error(f"--main names a file of a folder, and {path} is none: leave --main out")
    return Source(path.name, inputs.read_flow(path), path.name)


def from_command(words: Sequence[str]) -> Source:
    """A command for the execution's container. A script's file that it names is sent along.

    That is the first word where it has a slash, else the first of the others that names a file here.
    """
    if not words:
        raise usage_error("there is no command behind --: write for example snapctl run -- bash backup.sh")
    command, files = list(words), {}
    at = _script_in(words)
    if at is not None:
        path = Path(words[at])
        files[path.name] = inputs.read_bytes(path, "script")
        command[at] = f"{_FLOW_DIR}/{path.name}"
    name = Path(words[at or 0]).name
    title = shlex.join(words).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    # JSON's lists of texts are Python's, too.
    script = _COMMAND_SCRIPT.format(title=title, command=json.dumps(command))
    return Source(name, script, _COMMAND_FILE if files else "", files)


def _script_in(words: Sequence[str]) -> int | None:
    if "/" in words[0]:
        return 0 if Path(words[0]).is_file() else None
    for at, word in enumerate(words[1:], 1):
        if not word.startswith("-") and Path(word).is_file():
            return at
    return None


def _from_folder(folder: Path, main: str) -> Source:
    files: dict[str, bytes] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if belongs(name))
        for name in sorted(filter(belongs, names)):
            path = Path(place, name)
            files[path.relative_to(folder).as_posix()] = inputs.read_bytes(path, "file")
    name = folder.resolve().name
    try:
        chosen = main_file(name, files, main)
    except InvalidArgument as error:
        raise usage_error(f"{error}, by --main") from error
    del files[chosen]
    return Source(name, inputs.read_flow(folder / chosen), chosen, files)
