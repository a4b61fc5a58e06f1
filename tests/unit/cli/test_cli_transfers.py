"""export, import."""

from __future__ import annotations

import io
import os
import stat

import grpc
import pytest
from flowsnap.v1 import control_pb2, types_pb2

CONTENT = os.urandom(3 * 1024 * 1024 + 17)
SAVEPOINT = types_pb2.Savepoint(id="sp-1", number=3, name="fetched")
EXECUTION = types_pb2.Execution(id="aa11", name="up-1")


@pytest.fixture(autouse=True)
def scripted(controller):
    parts = [CONTENT[begin : begin + 1_000_000] for begin in range(0, len(CONTENT), 1_000_000)]
    controller.answer(
        "ExportSavepoint",
        control_pb2.ExportSavepointResponse(savepoint=SAVEPOINT),
        *(control_pb2.ExportSavepointResponse(data=part, done_bytes=1, total_bytes=2) for part in parts),
    )
    controller.answer(
        "ImportSavepoint",
        control_pb2.ImportSavepointResponse(execution=EXECUTION, savepoint=SAVEPOINT, original_id="aa11"),
    )


def received(controller) -> tuple[str, bytes]:
    """Name and content of the import."""
    requests = list(controller.requests_of("ImportSavepoint")[0])
    return requests[0].name, b"".join(request.data for request in requests)


def test_the_file_is_for_its_owner_alone_and_holds_what_the_controller_sent(controller, snapctl, tmp_path):
    file = tmp_path / "x.fsnap"
    result = snapctl("export", "up-1", str(file), "--savepoint", "name=fetched")
    assert (result.exit_code, result.out) == (0, "")
    assert f"Exported savepoint 3 (fetched) to {file} (3.0 MiB)" in result.err
    assert file.read_bytes() == CONTENT
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x.fsnap"]
    (request,) = controller.requests_of("ExportSavepoint")
    assert (request.execution, request.savepoint.name) == ("up-1", "fetched")
    document = snapctl("export", "up-1", str(file), "--force", "-o", "json").json
    assert (document["savepoint"]["number"], document["size_bytes"], document["file"]) == (3, len(CONTENT), str(file))
    assert not controller.requests_of("ExportSavepoint")[1].HasField("savepoint")


def test_a_file_that_is_there_stays_unless_it_is_forced(controller, snapctl, tmp_path):
    file = tmp_path / "x.fsnap"
    file.write_text("mine")
    result = snapctl("export", "up-1", str(file))
    assert result.exit_code == 2
    assert "--force" in result.err
    assert file.read_text() == "mine"
    assert not controller.requests


def test_nothing_is_left_when_an_export_fails(controller, snapctl, tmp_path):
    def break_off(_request, context):
        yield control_pb2.ExportSavepointResponse(savepoint=SAVEPOINT, data=b"the first part")
        context.abort(grpc.StatusCode.DATA_LOSS, "savepoint 3 is damaged")

    controller.handle("ExportSavepoint", break_off)
    result = snapctl("export", "up-1", str(tmp_path / "x.fsnap"))
    assert result.exit_code == 9
    assert "savepoint 3 is damaged" in result.err
    assert not list(tmp_path.iterdir())
    assert snapctl("export", "up-1", str(tmp_path / "nowhere" / "x.fsnap")).exit_code == 2


def test_an_export_goes_through_a_pipe(command, snapctl_process, controller):
    import subprocess

    done = subprocess.run([*command, "export", "up-1", "-"], capture_output=True, check=True, timeout=60)
    assert done.stdout == CONTENT
    imported = subprocess.run([*command, "import", "-"], input=CONTENT, capture_output=True, check=True, timeout=60)
    assert imported.stdout == b"aa11\n"
    assert received(controller) == ("", CONTENT)


def test_an_import_sends_the_file_and_prints_the_id(controller, snapctl, tmp_path):
    file = tmp_path / "x.fsnap"
    file.write_bytes(CONTENT)
    result = snapctl("import", str(file), "--name", "moved")
    assert (result.exit_code, result.out) == (0, "aa11\n")
    assert "snapctl load up-1 --id 3" in result.err
    assert received(controller) == ("moved", CONTENT)
    assert not controller.requests_of("LoadSavepoint")


def test_an_import_is_loaded_at_once_when_asked(controller, snapctl, tmp_path):
    file = tmp_path / "x.fsnap"
    file.write_bytes(CONTENT)
    running = types_pb2.Execution(id="aa11", name="up-1", status=types_pb2.EXECUTION_STATUS_RUNNING)
    controller.answer("LoadSavepoint", control_pb2.LoadSavepointResponse(execution=running))
    document = snapctl("import", str(file), "--load", "-o", "json").json
    assert (document["execution"]["status"], document["original_id"]) == ("RUNNING", "aa11")
    assert controller.requests_of("LoadSavepoint")[0].savepoint.id == "sp-1"
    controller.refuse("LoadSavepoint", grpc.StatusCode.NOT_FOUND, "its container image is not on this host")
    result = snapctl("import", str(file), "--load")
    assert result.exit_code == 3
    assert "up-1 (aa11) is imported, and could not be loaded: its container image" in result.err


def test_a_fork_is_told_when_the_id_is_taken(controller, snapctl, tmp_path):
    file = tmp_path / "x.fsnap"
    file.write_bytes(CONTENT)
    fork = types_pb2.Execution(id="bb22", name="up-1", forked_from=types_pb2.ForkedFrom(execution_id="aa11"))
    controller.answer(
        "ImportSavepoint",
        control_pb2.ImportSavepointResponse(execution=fork, savepoint=SAVEPOINT, original_id="aa11"),
    )
    assert "a fork: the id aa11 is taken here" in snapctl("import", str(file)).err


def test_a_passphrase_seals_the_file_and_opens_it(controller, snapctl, tmp_path):
    file, passphrase = tmp_path / "x.fsnap", tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    assert snapctl("export", "up-1", str(file), "--passphrase-file", str(passphrase)).exit_code == 0
    sealed = file.read_bytes()
    assert sealed.startswith(b"FSNAPENC")
    assert CONTENT[:64] not in sealed
    assert snapctl("import", str(file), "--passphrase-file", str(passphrase)).exit_code == 0
    assert received(controller) == ("", CONTENT)

    controller.requests.clear()
    result = snapctl("import", str(file))
    assert result.exit_code == 2
    assert "--passphrase-file" in result.err
    passphrase.write_text("another")
    result = snapctl("import", str(file), "--passphrase-file", str(passphrase))
    assert result.exit_code == 9
    assert "does not open the file" in result.err
    file.write_bytes(CONTENT)
    assert snapctl("import", str(file), "--passphrase-file", str(passphrase)).exit_code == 2
    passphrase.write_text("\n")
    assert snapctl("import", str(file), "--passphrase-file", str(passphrase)).exit_code == 2
    assert all(not request.data for stream in controller.requests_of("ImportSavepoint") for request in stream)


def test_a_sealed_file_that_was_cut_reordered_or_altered_is_refused():
    from controller.cli.errors import CliError
    from controller.cli.sealed_file import open_sealed, seal

    parts = list(seal([CONTENT], b"secret"))
    head, *pieces = parts

    def opened(content: bytes) -> bytes:
        return b"".join(open_sealed(io.BytesIO(content[8:]), content[:8], b"secret"))

    assert opened(b"".join(parts)) == CONTENT
    assert opened(b"".join(seal([], b"secret"))) == b""
    first, second, *rest = pieces
    altered = bytearray(second)
    altered[100] ^= 1
    for bad in (
        [head],
        [head, *pieces[:-1]],
        [head, *pieces[:-1], pieces[-1][:-1]],
        [head, second, first, *rest],
        [head, first, *rest],
        [head, first, bytes(altered), *rest],
        [head[:-1] + bytes([head[-1] ^ 1]), *pieces],
        [head[:10]],
        [*parts, pieces[-1]],
    ):
        with pytest.raises(CliError):
            opened(b"".join(bad))
