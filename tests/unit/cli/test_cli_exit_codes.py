"""Each gRPC code has an exit code, and the controller's words reach the user."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from controller.cli import exit_codes
from controller.cli.exit_codes import ExitCode
from controller.model import Status

DOCUMENTED = {
    "INVALID_ARGUMENT": 2,
    "NOT_FOUND": 3,
    "FAILED_PRECONDITION": 4,
    "ALREADY_EXISTS": 5,
    "UNAVAILABLE": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "DATA_LOSS": 9,
    "INTERNAL": 1,
    "UNKNOWN": 1,
}


@pytest.mark.parametrize("code", grpc.StatusCode, ids=lambda code: code.name)
def test_every_grpc_code_has_an_exit_code_when_a_call_fails(code):
    found = exit_codes.of_grpc_code(code.name)
    assert (found == ExitCode.OK) == (code is grpc.StatusCode.OK)
    assert found == DOCUMENTED.get(code.name, found)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name in DOCUMENTED], ids=lambda c: c.name)
def test_the_controllers_words_are_shown_when_it_refuses(controller, snapctl, code):
    controller.refuse("PauseExecution", code, "e1 can't be paused: try later")
    result = snapctl("pause", "e1")
    assert result.exit_code == DOCUMENTED[code.name]
    assert result.err == "snapctl: e1 can't be paused: try later\n"
    assert result.out == ""


def test_every_ended_status_has_an_exit_code_when_it_is_awaited():
    ended = [status for status in Status if status.ended]
    assert [exit_codes.of_execution_status(status) for status in ended] == [0, 10, 11]


def test_every_exit_code_is_documented_when_it_can_occur():
    page = Path(__file__).parents[3].joinpath("docs", "cli.md").read_text()
    for code in ExitCode:
        assert f"| {code.value} |" in page


def test_a_version_difference_is_explained_when_the_controller_lacks_a_method(controller, snapctl):
    controller.refuse("UndoLoad", grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    result = snapctl("undo", "e1")
    assert result.exit_code == 1
    assert "version differs" in result.err
