"""ls, show, pause, resume, cancel, wait, rm."""

from __future__ import annotations

import grpc
import pytest
from flowsnap.v1 import control_pb2, types_pb2
from google.protobuf.timestamp_pb2 import Timestamp

RUNNING = types_pb2.Execution(
    id="aa11",
    name="upload-1",
    status=types_pb2.EXECUTION_STATUS_RUNNING,
    flow_name="upload.py",
    flow_version="c0ffee" * 8,
    input_value_json=b'{"count": 3, "name": "\xc3\xa9"}',
    created_at=Timestamp(seconds=1_700_000_000, nanos=250_000_000),
    branch=2,
    savepoint_count=4,
    last_call="connect",
    last_file="upload.py",
    last_line=12,
    load_count=1,
)


def ended(status: int, message: str = "") -> types_pb2.Execution:
    copy = types_pb2.Execution()
    copy.CopyFrom(RUNNING)
    copy.status = status  # type: ignore[assignment]
    copy.message = message
    return copy


def test_a_plain_aligned_table_is_printed_when_output_is_piped(controller, snapctl):
    controller.answer("ListExecutions", control_pb2.ListExecutionsResponse(executions=[RUNNING]))
    result = snapctl("ls")
    header, row = result.out.splitlines()
    assert result.exit_code == 0
    assert header.split()[:4] == ["ID", "NAME", "STATUS", "FLOW"]
    assert row.split()[:4] == ["aa11", "upload-1", "RUNNING", "upload.py"]
    assert "connect upload.py:12" in row
    assert "\x1b" not in result.out
    assert result.err == ""


def test_executions_without_a_container_are_marked_in_the_table(controller, snapctl):
    parked = ended(types_pb2.EXECUTION_STATUS_SLEEPING)
    parked.parked = True
    controller.answer("ListExecutions", control_pb2.ListExecutionsResponse(executions=[parked, RUNNING]))
    _, first, second = snapctl("ls").out.splitlines()
    assert "SLEEPING (parked)  upload.py" in first
    assert "parked" not in second
    assert [one["parked"] for one in snapctl("ls", "-o", "json").json["executions"]] == [True, False]


def test_values_are_decoded_in_place_when_json_is_asked_for(controller, snapctl):
    controller.answer("ListExecutions", control_pb2.ListExecutionsResponse(executions=[RUNNING]))
    (one,) = snapctl("ls", "-o", "json").json["executions"]
    assert one["input_value"] == {"count": 3, "name": "é"}
    assert one["output_value"] is None
    assert one["status"] == "RUNNING"
    assert one["created_at"] == "2023-11-14T22:13:20.250000Z"
    assert one["ended_at"] is None
    assert one["savepoint_count"] == 4
    assert "input_value_json" not in one


def test_all_pages_are_read_when_all_are_asked_for(controller, snapctl):
    def page(request, _context):
        number = int(request.page_token or "0")
        yield control_pb2.ListExecutionsResponse(
            executions=[RUNNING] * 2, next_page_token=str(number + 1) * (number < 2)
        )

    controller.handle("ListExecutions", page)
    assert len(snapctl("ls", "--all", "-o", "json").json["executions"]) == 6


def test_the_limit_holds_and_more_is_mentioned_when_there_are_more(controller, snapctl):
    controller.handle(
        "ListExecutions",
        lambda request, _: iter(
            [control_pb2.ListExecutionsResponse(executions=[RUNNING] * request.page_size, next_page_token="x")]
        ),
    )
    result = snapctl("ls", "--limit", "3", "-o", "json")
    assert len(result.json["executions"]) == 3
    assert "--all" in result.err
    assert snapctl("ls", "--limit", "0").exit_code == 2


def test_statuses_are_named_in_any_case_when_they_filter(controller, snapctl):
    assert snapctl("ls", "--status", "ended", "--status", "Running", "--flow", "f.py").exit_code == 0
    (request,) = controller.requests_of("ListExecutions")
    assert list(request.statuses) == [5, 6, 7, 2]
    assert request.flow_name == "f.py"
    refused = snapctl("ls", "--status", "sleepy")
    assert refused.exit_code == 2
    assert "sleeping" in refused.err


def test_control_characters_are_replaced_when_a_name_has_them(controller, snapctl):
    evil = types_pb2.Execution(id="e", name="\x1b[31mred\n", message="first\nlast")
    controller.answer("ListExecutions", control_pb2.ListExecutionsResponse(executions=[evil]))
    result = snapctl("ls")
    assert "\x1b" not in result.out
    assert len(result.out.splitlines()) == 2
    assert result.out.rstrip().endswith("last")


def test_what_was_used_is_shown_when_there_is_anything(controller, snapctl):
    controller.answer("GetExecution", control_pb2.GetExecutionResponse(execution=RUNNING))
    assert "memory" not in snapctl("show", "aa").out
    assert snapctl("show", "aa", "-o", "json").json["usage"]["samples"] == []
    sample = types_pb2.UsageSample(cpu_us=5, memory_bytes=7, pids=2, time=RUNNING.created_at)
    usage = control_pb2.GetUsageResponse(samples=[sample], cpu_us=2_340_000, peak_memory_bytes=3 << 20, peak_pids=2)
    controller.answer("GetUsage", usage)
    assert "3.0 MiB of memory at most, 2.3 s of processor time" in snapctl("show", "aa").out
    shown = snapctl("show", "aa", "-o", "json").json["usage"]
    assert (shown["cpu_us"], shown["peak_memory_bytes"]) == (2_340_000, 3 << 20)
    assert shown["samples"][0] | {"container": ""} == {
        "time": "2023-11-14T22:13:20.250000Z",
        "cpu_us": 5,
        "memory_bytes": 7,
        "pids": 2,
        "container": "",
    }
    assert controller.requests_of("GetUsage")[-1].execution == RUNNING.id


def test_the_script_and_the_fields_are_shown_when_one_is_asked_for(controller, snapctl):
    controller.answer("GetExecution", control_pb2.GetExecutionResponse(execution=RUNNING, script="print(1)\n"))
    assert '"count": 3' in snapctl("show", "aa").out
    assert snapctl("show", "aa", "--script").out == "print(1)\n"
    document = snapctl("show", "aa", "-o", "json").json
    assert document["script"] == "print(1)\n"
    assert document["name"] == "upload-1"


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_the_new_status_is_printed_when_it_was_changed(controller, snapctl, verb):
    response_type = getattr(control_pb2, f"{verb.title()}ExecutionResponse")
    controller.answer(f"{verb.title()}Execution", response_type(execution=ended(types_pb2.EXECUTION_STATUS_PAUSED)))
    assert snapctl(verb, "aa11").out == "upload-1: PAUSED\n"
    assert snapctl(verb, "aa11", "-o", "json").json["status"] == "PAUSED"


def test_the_reason_is_handed_over_when_an_execution_is_cancelled(controller, snapctl):
    assert snapctl("cancel", "aa11", "--reason", "wrong input").exit_code == 0
    assert controller.requests_of("CancelExecution")[0].reason == "wrong input"


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        (types_pb2.EXECUTION_STATUS_ENDED_SUCCESS, 0),
        (types_pb2.EXECUTION_STATUS_ENDED_ERROR, 10),
        (types_pb2.EXECUTION_STATUS_ENDED_CANCELLED, 11),
    ],
)
def test_wait_exits_by_the_end_when_the_execution_has_ended(controller, snapctl, status, exit_code):
    controller.answer(
        "WatchExecution",
        control_pb2.WatchExecutionResponse(execution=RUNNING),
        control_pb2.WatchExecutionResponse(execution=ended(status, "that was it")),
    )
    result = snapctl("wait", "aa11")
    assert result.exit_code == exit_code
    assert "that was it" in result.err


def test_the_others_are_removed_when_one_is_not_found(controller, snapctl):
    def delete(request, context):
        if request.execution == "b":
            context.abort(grpc.StatusCode.NOT_FOUND, "no execution b")
        yield control_pb2.DeleteExecutionResponse()

    controller.handle("DeleteExecution", delete)
    result = snapctl("rm", "a", "b", "c", "--force")
    assert result.exit_code == 3
    assert result.out == "a\nc\n"
    assert "no execution b" in result.err
    assert all(request.force for request in controller.requests_of("DeleteExecution"))
