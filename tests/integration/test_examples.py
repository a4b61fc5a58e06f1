"""The examples, run as their first lines say. Of examples/acceptance.py see test_acceptance.py."""

from __future__ import annotations

from pathlib import Path

from command_line import snapctl
from flowsnap.v1 import types_pb2
from platform_under_test import SUCCESS, Platform

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_greetings_are_written_when_the_message_is_answered(platform: Platform) -> None:
    started = snapctl(platform, "run", str(EXAMPLES / "greetings.py"), "--name", "greetings", "-o", "json")
    execution = started.json["id"]
    platform.wait_status(execution, types_pb2.EXECUTION_STATUS_WAITING_MESSAGE)
    listed = snapctl(platform, "message", "ls", "-o", "json").json["messages"]
    (message,) = [one["id"] for one in listed if one["execution_id"] == execution]
    assert "names (string, required)" in snapctl(platform, "message", "show", message).out
    assert snapctl(platform, "message", "answer", message).exit_code == 2
    assert snapctl(platform, "message", "answer", message, "-v", "names=Ada, Größe").exit_code == 0
    ended = platform.wait_ended(execution)
    assert (ended.status, ended.message) == (SUCCESS, "greeted 2")
    assert snapctl(platform, "file", "get", "greetings").out == "Hello Ada!\nHello Größe!\n"
    assert [child["status"] for child in snapctl(platform, "show", "greetings", "-o", "json").json["children"]] == [
        *["ENDED_SUCCESS"] * 2
    ]


def test_a_backup_is_handed_over_again_without_packing_when_it_is_loaded(platform: Platform) -> None:
    words = ("run", "--name", "backup", "-o", "json", "--", "bash", str(EXAMPLES / "backup.sh"), "/etc/ssl/certs")
    execution = snapctl(platform, *words).json["id"]
    ended = platform.wait_ended(execution)
    assert (ended.status, ended.message) == (SUCCESS, "handed over")
    packed = platform.output(execution)
    assert len(packed["sha256"]) == 64
    assert snapctl(platform, "load", "backup", "--name", "packed").exit_code == 0
    platform.wait_until(lambda: platform.get(execution).message == "handed over, after 1 loads", execution)
    assert platform.wait_ended(execution).status == SUCCESS
    assert platform.output(execution)["sha256"] == packed["sha256"]
