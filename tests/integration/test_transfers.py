"""Export and import with two real controllers: the savepoint goes on elsewhere, the first controller is gone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import snapctl
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import CANCELLED, SUCCESS, Platform, containers, running_platform

MOVING = """
    import subprocess

    import helper

    def handler(system, this):
        known = helper.random_bytes()
        heap = bytearray(known)
        with open("/tmp/notes", "w") as notes:
            notes.write("before")
            notes.flush()
            child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            this.set_output("who", this.get("input_value"))
            this.create_dump("here")
            child.stdin.write(b"alive")
            child.stdin.close()
            notes.write(" after")
            notes.flush()
        print("RESULT", open("/tmp/notes").read(), child.stdout.read(), bytes(heap) == known, helper.NAME)
        if this.restored is None:
            this.sleep(3600)
        this.success(this.get("output_value"))
    """

HELPER = "import os\nNAME = 'helper'\ndef random_bytes():\n    return os.urandom(1 << 20)\n"


def docker(arguments: list[str], stdin: str = "") -> None:
    subprocess.run(["docker", *arguments], input=stdin, text=True, check=True, capture_output=True)


@pytest.fixture
def other_platform(tmp_path: Path) -> Iterator[Platform]:
    with running_platform(tmp_path / "other") as running:
        yield running


def exported(platform: Platform, file: Path, *options: str) -> str:
    """An execution whose savepoint "here" is in the file."""
    module = types_pb2.FlowFile(path="helper.py", content=HELPER.encode())
    execution = platform.run(MOVING, {"k": 1}, files=[module], name="mover")
    platform.wait_results(execution, 1)
    done = snapctl(platform, "export", execution, str(file), "--savepoint", "name=here", *options)
    assert done.exit_code == 0, done.err
    assert file.stat().st_mode & 0o777 == 0o600
    return execution


def test_a_savepoint_goes_on_under_another_controller_when_its_own_is_gone(
    own_platform: Platform, other_platform: Platform, tmp_path: Path
) -> None:
    file = tmp_path / "mover.fsnap"
    execution = exported(own_platform, file)
    own_platform.executions.DeleteExecution(pb.DeleteExecutionRequest(execution=execution, force=True), timeout=60)
    own_platform.stop()

    done = snapctl(other_platform, "import", str(file), "-o", "json")
    assert done.exit_code == 0, done.err
    assert done.json["execution"]["id"] == execution
    imported = other_platform.get(execution)
    assert (imported.status, imported.name) == (CANCELLED, "mover")
    assert not containers(other_platform.data_dir)

    other_platform.load(execution, name="here")
    other_platform.wait_until(lambda: other_platform.get(execution).status == SUCCESS, execution)
    assert other_platform.results(execution) == ["before after b'alive' True helper"]
    assert other_platform.output(execution) == {"who": {"k": 1}}
    # And back again from there.
    assert other_platform.load(execution, name="here").execution.branch == 3


def test_an_import_under_a_passphrase_is_loaded_at_once_beside_the_original(
    own_platform: Platform, tmp_path: Path
) -> None:
    file, passphrase = tmp_path / "mover.fsnap", tmp_path / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    original = exported(own_platform, file, "--passphrase-file", str(passphrase))
    done = snapctl(
        own_platform,
        "import",
        str(file),
        "--load",
        "--name",
        "twin",
        "--passphrase-file",
        str(passphrase),
        "-o",
        "json",
    )
    assert done.exit_code == 0, done.err
    twin = done.json["execution"]["id"]
    assert twin != original
    assert own_platform.wait_ended(twin).status == SUCCESS
    assert own_platform.get("twin").forked_from.execution_id == original
    assert own_platform.get(original).status == types_pb2.EXECUTION_STATUS_SLEEPING
    own_platform.cancel(original)


def test_a_damaged_file_is_refused_and_leaves_nothing(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "mover.fsnap"
    execution = exported(platform, file)
    content = file.read_bytes()
    platform.executions.DeleteExecution(pb.DeleteExecutionRequest(execution=execution, force=True), timeout=60)
    images = sorted(os.listdir(platform.data_dir / "store" / "manifests"))
    for bad in (content[: len(content) // 2], content[:-1], content[:5000] + b"\0" + content[5001:]):
        file.write_bytes(bad)
        done = snapctl(platform, "import", str(file))
        assert done.exit_code == 9
        assert "the import was refused" in done.err
    assert snapctl(platform, "show", execution).exit_code == 3
    assert sorted(os.listdir(platform.data_dir / "store" / "manifests")) == images


def test_the_container_image_that_is_missing_is_named_when_an_import_is_loaded(
    own_platform: Platform, other_platform: Platform, tmp_path: Path
) -> None:
    file = tmp_path / "mover.fsnap"
    base = os.environ.get("FLOWSNAP_TEST_IMAGE", "flowsnap/execution")
    name = f"flowsnap/moved-{tmp_path.name.replace('_', '-').lower()}"
    docker(["build", "-q", "-t", name, "-"], f"FROM {base}\nLABEL moved={name}\n")
    try:
        execution = own_platform.run(
            "def handler(system, this):\n    this.create_dump('here')\n    this.success('done')\n", container_image=name
        )
        own_platform.wait_ended(execution)
        own_platform.wait_until(lambda: not containers(own_platform.data_dir))
        assert snapctl(own_platform, "export", execution, str(file), "--savepoint", "name=here").exit_code == 0
        docker(["save", "-o", str(tmp_path / "image.tar"), name])
    finally:
        docker(["rmi", "-f", name])
    assert snapctl(other_platform, "import", str(file)).exit_code == 0
    done = snapctl(other_platform, "load", execution, "--name", "here")
    assert done.exit_code == 3
    for words in (name, "is not on this host", "docker save", "docker load"):
        assert words in done.err
    assert other_platform.get(execution).status == CANCELLED
    # As the message says.
    docker(["load", "-i", str(tmp_path / "image.tar")])
    try:
        other_platform.load(execution, name="here")
        assert other_platform.wait_ended(execution).status == SUCCESS
        other_platform.wait_until(lambda: not containers(other_platform.data_dir))
    finally:
        docker(["rmi", "-f", name])
