"""What people get wrong, and what the disk and Docker do to them: a clear error, and nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import ERROR, SUCCESS, Platform, running_platform

MIB = 1 << 20


def refusal(platform: Platform, script: str, **fields: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        platform.run(script, **fields)
    return refused.value.code(), refused.value.details()


def test_a_script_without_handler_is_refused(platform: Platform) -> None:
    code, words = refusal(platform, "def main():\n    pass\n", file_name="nohandler.py")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "handler" in words
    assert "nohandler.py" in words


def test_a_syntax_error_is_refused_with_file_and_line(platform: Platform) -> None:
    code, words = refusal(platform, "def handler(system, this):\n    x = (\n    y = 1\n", file_name="broken.py")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "broken.py" in words
    assert "line 2" in words or ":2" in words


def test_an_unknown_image_is_refused(platform: Platform) -> None:
    code, words = refusal(platform, "def handler(system, this): pass", container_image="no/such:image")
    assert code == grpc.StatusCode.NOT_FOUND
    assert "no/such:image" in words


def test_an_input_of_50_mb_is_refused_with_the_limit(platform: Platform) -> None:
    code, words = refusal(platform, "def handler(system, this): pass", value="x" * (50 * MIB))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "16" in words


def test_an_input_of_10_mb_arrives_and_an_output_of_10_mb_too(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            value = this.get("input_value")
            this.set_output("back", value[::-1])
            this.success(str(len(value)))
        """,
        value="ab" * (5 * MIB),
    )
    assert platform.wait_ended(execution).message == str(10 * MIB)
    assert platform.output(execution) == {"back": "ba" * (5 * MIB)}


@pytest.mark.parametrize("name", ["with spaces & <b>", "ünïcödé 名前 🎉", "a'b\"c;--", "%s/../..", "-starts-with-dash"])
def test_odd_savepoint_names_are_kept_as_they_are(platform: Platform, name: str) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            this.create_dump(this.get("input_value"))
            this.success("loaded" if this.restored else "made")
        """,
        value=name,
    )
    platform.wait_ended(execution)
    assert platform.savepoints(execution)[1].name == name
    platform.load(execution, name=name)
    platform.wait_until(lambda: platform.get(execution).message == "loaded", execution)


@pytest.mark.parametrize("name", ["", "line\nbreak", "nul\0", "x" * 201])
def test_impossible_savepoint_names_raise_in_the_script(platform: Platform, name: str) -> None:
    execution = platform.run(
        """
        import flow_api

        def handler(system, this):
            try:
                this.create_dump(this.get("input_value"))
            except flow_api.InvalidInputError as error:
                this.success(str(error))
        """,
        value=name,
    )
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS
    assert "name" in ended.message


def test_an_uncaught_exception_ends_the_execution_with_the_traceback(platform: Platform) -> None:
    execution = platform.run(
        """
        def inner():
            return {}["missing"]

        def handler(system, this):
            inner()
        """,
        file_name="raises.py",
    )
    ended = platform.wait_ended(execution)
    assert ended.status == ERROR
    assert 'File "/flow/raises.py", line 3, in inner' in ended.message
    assert 'return {}["missing"]' in ended.message
    assert ended.message.endswith("KeyError: 'missing'")
    assert "runner" not in ended.message


def test_what_the_platform_refuses_is_told_with_the_lines_of_the_script_alone(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            try:
                this.set_output("x", {1, 2})
            except Exception:
                system.setting("no-such-setting").get()
        """,
        file_name="refused.py",
    )
    refusal = "set_output: its arguments can't be written as JSON: Object of type set is not JSON serializable"
    assert platform.wait_ended(execution).message.splitlines() == [
        "Traceback (most recent call last):",
        '  File "/flow/refused.py", line 4, in handler',
        '    this.set_output("x", {1, 2})',
        "    ~~~~~~~~~~~~~~~^^^^^^^^^^^^^",
        f"flow_api.exceptions.InvalidInputError: {refusal}",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        '  File "/flow/refused.py", line 6, in handler',
        '    system.setting("no-such-setting").get()',
        "    ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~^^",
        "flow_api.exceptions.ResourceNotFoundError: there is no setting 'no-such-setting'; save it first",
    ]


def test_an_end_can_not_be_swallowed_by_a_bare_except(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            try:
                this.success("the end")
            except:
                print("swallowed")
            finally:
                print("finally")
            this.error("went on")
        """
    )
    ended = platform.wait_ended(execution)
    assert (ended.status, ended.message) == (SUCCESS, "the end")
    assert platform.log(execution, "stdout") == []


def test_exceptions_of_the_platform_have_their_types(platform: Platform) -> None:
    execution = platform.run(
        """
        import flow_api

        def kind(what):
            try:
                what()
            except flow_api.CloudomationException as error:
                return type(error).__name__
            return "nothing"

        def handler(system, this):
            this.set_output("kinds", [
                kind(lambda: system.setting("no-such-setting").get()),
                kind(lambda: system.file("no-such-file").get()),
                kind(lambda: this.connect("no-such-connection")),
                kind(lambda: this.connect(connector_type="NOPE")),
                kind(lambda: this.get("no_such_field")),
                kind(lambda: this.sleep(-1)),
                kind(lambda: this.set_output("x", {1, 2})),
                kind(lambda: this.connect(connector_type="SQLITE", fetch="select 1")),
                kind(lambda: this.connect(connector_type="SQLITE", path="/nowhere/x.db", fetch="select 1", nonsense=1)),
            ])
        """
    )
    platform.wait_ended(execution)
    assert platform.output(execution)["kinds"] == [
        "ResourceNotFoundError",
        "ResourceNotFoundError",
        "ResourceNotFoundError",
        "ResourceNotFoundError",
        "InvalidInputError",
        "InvalidInputError",
        "InvalidInputError",
        "MissingInputError",
        "ExtraInputError",
    ]


def test_a_tree_that_criu_refuses_goes_on_without_a_savepoint_and_hears_its_words_where_it_asked(
    platform: Platform,
) -> None:
    """CRIU knows no POSIX message queues."""
    execution = platform.run(
        """
        import ctypes, flow_api, os

        def handler(system, this):
            libc = ctypes.CDLL(None, use_errno=True)
            queue = libc.mq_open(b"/queue", os.O_CREAT | os.O_RDWR, 0o600, None)
            assert queue >= 0, os.strerror(ctypes.get_errno())
            this.set_output("went on", True)
            try:
                this.create_dump("impossible")
            except flow_api.SavepointError as error:
                words = str(error)
            os.close(queue)
            this.create_dump("possible")
            this.success(words)
        """
    )
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS
    assert "CRIU could not dump" in ended.message
    assert "Error" in ended.message
    assert platform.output(execution) == {"went on": True}
    assert [s.name for s in platform.savepoints(execution) if s.name] == ["possible"]
    assert any("no savepoint at set_output" in line for line in platform.log(execution, "system"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


FILLS_UP = """
    import flow_api, os

    def handler(system, this):
        ballast = os.urandom(1 << 20)
        this.create_dump("roomy")
        ballast += os.urandom(120 << 20)
        try:
            this.log("needs room")
            print("RESULT stored")
        except flow_api.SavepointError as error:
            print("RESULT", error)
        this.success("lived")
    """


def test_a_full_disk_makes_the_call_wait_until_there_is_room(small_disk: Path) -> None:
    with running_platform(small_disk / "data") as platform:
        filler = small_disk / "filler"
        execution = _run_until_roomy(platform, filler)
        platform.wait_until(lambda: any("waiting for" in line for line in platform.log(execution, "system")), execution)
        assert platform.get(execution).status == types_pb2.EXECUTION_STATUS_RUNNING
        assert platform.results(execution) == []
        filler.unlink()
        assert platform.wait_ended(execution).message == "lived"
        assert platform.results(execution) == ["stored"]


def test_a_full_disk_fails_the_call_where_configured_and_the_execution_lives(small_disk: Path) -> None:
    with running_platform(small_disk / "data", "--on-store-full", "fail") as platform:
        filler = small_disk / "filler"
        execution = _run_until_roomy(platform, filler)
        platform.wait_results(execution, 1)
        assert "No space left" in platform.results(execution)[0]
        filler.unlink()
        assert platform.wait_ended(execution).message == "lived"


def _run_until_roomy(platform: Platform, filler: Path) -> str:
    """The flow stands before its big call, and the disk is nearly full."""
    script = FILLS_UP.replace(
        "ballast += os", 'while not system.setting("full").exists(): this.sleep(0.05)\n        ballast += os'
    )
    execution = platform.run(script)
    platform.wait_until(lambda: any(s.name == "roomy" for s in platform.savepoints(execution)), execution)
    helper = platform.run("def handler(system, this):\n    this.sleep(0.5)\n    system.setting('full').save(1)\n")
    with filler.open("wb") as file:
        room = os.statvfs(filler.parent)
        file.write(bytes(max(room.f_bavail * room.f_frsize - 80 * MIB, 0)))
    platform.wait_ended(helper)
    return execution


def test_without_docker_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-docker.sock")
    with running_platform(tmp_path / "data") as platform:
        with pytest.raises(grpc.RpcError) as refused:
            platform.run("def handler(system, this): pass")
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "dockerd" in refused.value.details() or "systemctl start docker" in refused.value.details()


def test_a_second_controller_on_the_same_data_folder_is_refused(own_platform: Platform) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "controller", "--data-dir", str(own_platform.data_dir)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert second.returncode != 0
    assert str(own_platform.data_dir) in second.stderr
    assert "Traceback" not in second.stderr
    assert own_platform.system.GetSystemInfo(pb.GetSystemInfoRequest()).version


def test_a_value_that_is_no_json_is_refused(platform: Platform) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        platform.executions.CreateExecution(
            pb.CreateExecutionRequest(
                script="def handler(system, this): pass", flow_name="x.py", input_value_json=b"{not json"
            )
        )
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
