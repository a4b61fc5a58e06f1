"""What reaches the disk, and in which order: seen by strace, from the real store and the real database."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SAVEPOINTS = """
import sys
from pathlib import Path
import database_records as records
from controller.db import SqlDatabase, migrate, sqlite_url
from controller.model import Status
from store import LocalStore

folder, durability = Path(sys.argv[1]), sys.argv[2]
image = folder / "image"
image.mkdir()
(image / "pages-1.img").write_bytes(bytes(range(256)) * 64)
url = sqlite_url(folder / "flowsnap.db")
migrate(url)
database = SqlDatabase(url, durability=durability)
database.add_execution(records.execution(status=Status.RUNNING), records.FLOW)
store = LocalStore(folder / "store", durability=durability)
(folder / "mark-begin").touch()
store.put("s1", image, lineage="e1")
(folder / "mark-row").touch()
database.add_savepoint(records.savepoint("s1"))
(folder / "mark-remove").touch()
(image / "pages-1.img").write_bytes(bytes(range(255, -1, -1)) * 64)
store.put("s2", image, lineage="e1", parent="s1")
database.add_savepoint(records.savepoint("s2", seq=2))
(folder / "mark-removal").touch()
database.remove_savepoints("e1", ["s1"])
store.delete("s1")
(folder / "mark-end").touch()
"""

_CALL = re.compile(r"(?P<call>fsync|fdatasync|rename|unlink|openat)\((?P<arguments>.*)\) += (?P<result>\S+)")


def steps(tmp_path: Path, durability: str) -> list[str]:
    """What the program does to its files between its marks: "sync store/tmp/x", "move ...", "mark row"."""
    trace, folder = tmp_path / "trace", tmp_path / "data"
    folder.mkdir()
    (tmp_path / "savepoints.py").write_text(SAVEPOINTS)
    subprocess.run(
        [
            *("strace", "-f", "-y", "-o", trace, "-e", "trace=fsync,fdatasync,rename,unlink,openat"),
            *(sys.executable, tmp_path / "savepoints.py", folder, durability),
        ],
        check=True,
        env={"PYTHONPATH": ":".join([str(Path(__file__).parent), *sys.path]), "PATH": "/usr/bin:/bin"},
    )
    found = []
    for line in trace.read_text().splitlines():
        call = _CALL.search(line)
        if call is None or call["result"].startswith("-"):
            continue
        paths = [path.removeprefix(f"{folder}/") for path in re.findall(rf"{folder}[^\">]*", call["arguments"])]
        if not paths:
            continue
        match call["call"]:
            case "openat":
                if paths[-1].startswith("mark-"):
                    found.append(paths[-1].replace("-", " "))
            case "rename":
                found.append(f"move to {_kind(paths[-1])}")
            case "unlink":
                found.append(f"remove {_kind(paths[-1])}")
            case _:
                found.append(f"sync {_kind(paths[-1])}")
    return found[found.index("mark begin") :]


def _kind(path: str) -> str:
    """Files by what they are: their names are hashes and ids."""
    for suffix in (".pack", ".manifest"):
        if path.endswith(suffix):
            return f"{Path(path).parent.name}/*{suffix}"
    return path


PUT = [
    "sync tmp/*.pack",
    "move to packs/*.pack",
    "sync store/packs",
    "sync tmp/*.manifest",
    "move to manifests/*.manifest",
    "sync store/manifests",
]
ROW = "sync flowsnap.db-wal"


def test_chunks_manifest_and_row_are_synced_in_this_order_when_the_host_is_not_trusted(tmp_path: Path) -> None:
    found = steps(tmp_path, "host")
    # SQLite folds its log in at the exit.
    assert found[: found.index("mark end") + 1] == [
        "mark begin",
        *PUT,
        "mark row",
        ROW,
        "mark remove",
        *PUT,
        ROW,
        "mark removal",
        # The other way round: the row goes for good before its image does.
        ROW,
        "remove manifests/*.manifest",
        "mark end",
    ]


def test_nothing_waits_for_the_disk_when_processes_alone_are_distrusted(tmp_path: Path) -> None:
    found = steps(tmp_path, "process")
    moves = [step for step in PUT if step.startswith("move")]
    assert found[: found.index("mark end") + 1] == [
        "mark begin",
        *moves,
        "mark row",
        "mark remove",
        *moves,
        "mark removal",
        "remove manifests/*.manifest",
        "mark end",
    ]


@pytest.mark.parametrize("durability", ["host", "process"])
def test_new_folders_of_a_store_are_synced_where_that_matters(tmp_path: Path, durability: str) -> None:
    script = "import sys; from pathlib import Path; from store import LocalStore\n"
    script += "LocalStore(Path(sys.argv[1]) / 'store', durability=sys.argv[2])\n"
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-y", "-o", str(trace), "-e", "trace=fsync", sys.executable, "-c", script, tmp_path, durability],
        check=True,
    )
    synced = re.findall(rf"fsync\(\d+<({tmp_path}[^>]*)>", trace.read_text())
    folders = [f"{tmp_path}/store", str(tmp_path)] if durability == "host" else []
    # The key in any case: all that is ever sealed with it would be lost with it.
    assert synced == [*folders, f"{tmp_path}/store.key.new", str(tmp_path)]
