"""up and down, with a real process in place of the controller."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.cli import process
from controller.config import Config

FAKE = str(Path(__file__).with_name("fake_controller.py"))


@pytest.fixture(autouse=True)
def fake_command(monkeypatch):
    real = process.command_line

    def command_line(config, image, network, extra):
        assert real(config, image, network, extra)[1:4] == ["-P", "-m", "controller"]
        return [sys.executable, FAKE, *real(config, image, network, extra)[4:]]

    monkeypatch.setattr(process, "command_line", command_line)


def test_the_controller_serves_in_its_own_session_when_it_was_detached(snapctl, data_dir):
    started = snapctl("up", "--detach", "--image", "img", "--network", "none", "--", "--durability", "host")
    assert started.exit_code == 0
    pid = int(started.out)
    assert os.getsid(pid) == pid
    log = (data_dir / "run" / "controller.log").read_text()
    assert f"--data-dir {data_dir} --image img --network none --durability host" in log

    again = snapctl("up", "--detach", "-o", "json")
    assert again.exit_code == 0
    assert "runs already" in again.err
    assert again.json == {
        "pid": pid,
        "data_dir": str(data_dir),
        "socket": str(data_dir / "run" / "control.sock"),
        "page": "http://127.0.0.1:7117",
    }
    assert "http://127.0.0.1:7117/login?token=once" in again.err

    ended = snapctl("down")
    assert ended.exit_code == 0
    assert "has ended" in ended.err
    assert not process.serving(Config(data_dir=data_dir))
    nothing = snapctl("down")
    assert nothing.exit_code == 0
    assert "No controller runs" in nothing.err


def test_only_the_new_words_of_the_log_are_shown_when_it_fails_to_start(snapctl, data_dir):
    (data_dir / "run").mkdir()
    (data_dir / "run" / "controller.log").write_text("words of an earlier one\n")
    result = snapctl("up", "--detach", "--", "--fail")
    assert result.exit_code == 1
    assert "ended with status 3" in result.err
    assert "the database is on fire" in result.err
    assert "an earlier one" not in result.err
    assert "controller.log" in result.err


def test_the_folder_is_named_when_the_data_dir_can_not_be_made(tmp_path, capsys):
    from controller.cli.main import run

    (tmp_path / "file").touch()
    assert run(["--data-dir", str(tmp_path / "file"), "up", "--detach"]) == 7
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_the_process_becomes_the_controller_when_it_stays_in_the_foreground(data_dir):
    program = (
        f"import sys; from controller.cli import process\n"
        f"words = [{sys.executable!r}, {FAKE!r}, '--data-dir']\n"
        f"process.command_line = lambda config, *_: [*words, str(config.data_dir)]\n"
        f"from controller.cli.main import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "--data-dir", str(data_dir), "up"], stderr=subprocess.PIPE, text=True
    ) as up:
        while not process.serving(Config(data_dir=data_dir)):
            assert up.poll() is None
            time.sleep(0.02)
        up.terminate()
        _, err = up.communicate(timeout=30)
    assert up.returncode == 0
    assert str(data_dir / "run" / "control.sock") in err
