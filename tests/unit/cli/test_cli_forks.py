"""fork."""

from __future__ import annotations

import json

import grpc
import pytest
from flowsnap.v1 import control_pb2, types_pb2

FORKS = [
    types_pb2.Execution(id=f"bb{n}", name=f"twin-{n}", forked_from=types_pb2.ForkedFrom(execution_id="aa11", index=n))
    for n in range(2)
]


@pytest.fixture(autouse=True)
def scripted(controller):
    response = control_pb2.ForkExecutionResponse(
        executions=FORKS, savepoint=types_pb2.Savepoint(number=3, name="fetched")
    )
    controller.answer("ForkExecution", response)


def test_the_ids_are_the_result_when_an_execution_is_forked(controller, snapctl):
    result = snapctl(
        "fork", "up-1", "--from", "name=fetched", "--count", "2", "-i", "k=1", "-i", "s=x", "--name", "twin"
    )
    assert (result.exit_code, result.out) == (0, "bb0\nbb1\n")
    assert "Forked from savepoint 3 (fetched): twin-0, twin-1" in result.err
    (request,) = controller.requests_of("ForkExecution")
    assert (request.execution, request.savepoint.name, request.count, request.name) == ("up-1", "fetched", 2, "twin")
    assert json.loads(request.input_json) == {"k": 1, "s": "x"}


def test_it_begins_where_the_execution_stands_when_no_savepoint_is_chosen(controller, snapctl):
    document = snapctl("fork", "up-1", "-o", "json").json
    assert [one["forked_from"]["index"] for one in document["executions"]] == [0, 1]
    assert document["savepoint"]["number"] == 3
    (request,) = controller.requests_of("ForkExecution")
    assert not request.HasField("savepoint")
    assert (request.count, request.input_json) == (1, b"")


def test_a_fork_s_origin_is_shown(controller, snapctl):
    origin = types_pb2.ForkedFrom(execution_id="aa11", savepoint=3, name="fetched", index=1)
    fork = types_pb2.Execution(id="bb1", name="twin", forked_from=origin)
    controller.answer("GetExecution", control_pb2.GetExecutionResponse(execution=fork))
    assert "aa11, savepoint 3 (fetched), as number 2" in snapctl("show", "bb1").out


@pytest.mark.parametrize(("text", "id_"), [("7", "7"), ("id=sp-1", "sp-1"), ("id=7", "7")])
def test_a_savepoint_is_chosen_by_number_or_id(controller, snapctl, text, id_):
    assert snapctl("fork", "up-1", "--from", text).exit_code == 0
    assert controller.requests_of("ForkExecution")[0].savepoint.id == id_


@pytest.mark.parametrize("args", [["--from", "fetched"], ["--from", "name="], ["--count", "0"], ["-i", "nokey"]])
def test_nothing_is_sent_when_the_line_is_wrong(controller, snapctl, args):
    assert snapctl("fork", "up-1", *args).exit_code == 2
    assert not controller.requests


def test_the_controllers_words_are_told_when_it_refuses(controller, snapctl):
    controller.refuse("ForkExecution", grpc.StatusCode.NOT_FOUND, "execution 'up-1' has no savepoint yet")
    result = snapctl("fork", "up-1")
    assert result.exit_code == 3
    assert "no savepoint yet" in result.err
