"""Finding the controller, and saying what to do when there is none."""

from __future__ import annotations

import socket

from flowsnap.v1 import control_pb2

from controller.cli.main import run


def test_the_remedy_is_named_when_no_controller_runs(snapctl):
    result = snapctl("ls")
    assert result.exit_code == 6
    assert "no controller answers" in result.err
    assert "snapctl up --detach" in result.err


def test_the_remedy_is_named_when_a_killed_controller_left_its_socket(snapctl, data_dir):
    (data_dir / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(data_dir / "run" / "control.sock"))
    result = snapctl("ls")
    assert result.exit_code == 6
    assert "Connection refused" in result.err
    assert "snapctl up --detach" in result.err


def test_the_path_is_refused_when_it_is_no_socket(snapctl, data_dir):
    (data_dir / "run").mkdir()
    (data_dir / "run" / "control.sock").touch()
    result = snapctl("ls")
    assert result.exit_code == 6
    assert "not a socket" in result.err


def test_a_shorter_folder_is_asked_for_when_the_sockets_path_is_too_long(capsys):
    assert run(["--data-dir", "/tmp/" + "d" * 120, "ls"]) == 2
    assert "too long for a unix socket" in capsys.readouterr().err


def test_the_data_dir_is_found_when_it_stands_behind_the_command(controller, data_dir, capsys):
    controller.answer("GetSystemInfo", control_pb2.GetSystemInfoResponse(version="7"))
    assert run(["info", "--data-dir", str(data_dir)]) == 0
    assert run(["info", f"--data-dir={data_dir}"]) == 0
    assert "7" in capsys.readouterr().out


def test_the_data_dir_is_read_from_the_environment_when_it_is_not_given(controller, data_dir, monkeypatch):
    monkeypatch.setenv("FLOWSNAP_DATA_DIR", str(data_dir))
    assert run(["info"]) == 0
    assert controller.requests_of("GetSystemInfo")


def test_a_relative_data_dir_works_when_it_is_below_the_working_directory(controller, data_dir, monkeypatch):
    monkeypatch.chdir(data_dir.parent)
    assert run(["--data-dir", data_dir.name, "info"]) == 0
    assert controller.requests_of("GetSystemInfo")


def test_one_line_is_printed_when_the_usage_is_wrong(snapctl):
    for args in (["lss"], ["load"], ["ls", "--frobnicate"], ["ls", "-o", "xml"], ["ls", "--limit", "many"]):
        result = snapctl(*args)
        assert result.exit_code == 2
        assert result.out == ""
        assert result.err.startswith("snapctl: ")
        assert "--help`" in result.err
        assert result.err.count("\n") == 1


def test_the_help_is_printed_when_nothing_is_asked_for(capsys):
    assert run([]) == 2
    assert "savepoints" in capsys.readouterr().out
