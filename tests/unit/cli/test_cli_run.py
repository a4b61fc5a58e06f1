"""run and logs: what is handed over, what is printed, how they exit."""

from __future__ import annotations

import json
import signal
import subprocess
import threading

import grpc
import pytest
from flowsnap.v1 import control_pb2, types_pb2

STARTED = types_pb2.Execution(id="aa11", name="f-1", status=types_pb2.EXECUTION_STATUS_NEW)


@pytest.fixture
def flow(tmp_path):
    path = tmp_path / "f.py"
    path.write_text("def handler(system, this):\n    this.log('é')\n")
    return path


@pytest.fixture(autouse=True)
def accepting(request):
    if "controller" in request.fixturenames:
        fake = request.getfixturevalue("controller")
        fake.answer("CreateExecution", control_pb2.CreateExecutionResponse(execution=STARTED))
        fake.answer("GetExecution", control_pb2.GetExecutionResponse(execution=STARTED))


def line(number: int, text: str, stream: str = "stdout") -> control_pb2.ReadLogResponse:
    return control_pb2.ReadLogResponse(lines=[types_pb2.LogLine(number=number, stream=stream, text=text)])


def finish(controller, status: int, message: str = "") -> None:
    execution = types_pb2.Execution(id="aa11", name="f-1", status=status, message=message, savepoint_count=1)  # type: ignore[arg-type]
    controller.answer("GetExecution", control_pb2.GetExecutionResponse(execution=execution))


def test_the_id_is_the_result_when_a_flow_is_started(controller, snapctl, flow):
    result = snapctl("run", str(flow), "--name", "n", "--image", "img", "--memory", "512m", "--pids", "9")
    assert result.exit_code == 0
    assert result.out == "aa11\n"
    assert "snapctl logs -f f-1" in result.err
    (request,) = controller.requests_of("CreateExecution")
    assert request.script == flow.read_text()
    assert request.flow_name == "f.py"
    assert (request.name, request.container_image) == ("n", "img")
    assert (request.memory_limit_bytes, request.pids_limit) == (512 * 2**20, 9)
    assert request.input_value_json == b""


def test_the_rule_for_retries_is_handed_over(controller, snapctl, flow):
    rule = ("--retries", "3", "--retry-from", "fetched", "--backoff", "2m")
    assert snapctl("run", str(flow), *rule).exit_code == 0
    assert snapctl("run", str(flow)).exit_code == 0
    first, second = controller.requests_of("CreateExecution")
    assert first.retry == types_pb2.RetryRule(retries=3, savepoint="fetched", backoff_s=120)
    assert not second.HasField("retry")


def test_values_are_json_where_they_parse_when_input_is_given(controller, snapctl, flow, tmp_path):
    file = tmp_path / "in.json"
    file.write_text('{"a": 0, "deep": {"x": [1]}}')
    pairs = ["a=1", "b=true", "c=word", 'd={"k": null}', "e=", "f=x=y", "g=NaN", "h=07"]
    args = [part for pair in pairs for part in ("-i", pair)]
    assert snapctl("run", str(flow), *args, "--input-file", str(file)).exit_code == 0
    assert json.loads(controller.requests_of("CreateExecution")[0].input_value_json) == {
        "a": 1,
        "deep": {"x": [1]},
        "b": True,
        "c": "word",
        "d": {"k": None},
        "e": "",
        "f": "x=y",
        "g": "NaN",
        "h": "07",
    }


def test_standard_input_is_read_when_the_input_file_is_a_dash(controller, snapctl_process, flow):
    assert snapctl_process("run", str(flow), "--input-file", "-", stdin="[1, 2]").exit_code == 0
    assert controller.requests_of("CreateExecution")[0].input_value_json == b"[1,2]"


def test_nothing_is_sent_when_the_input_is_larger_than_the_limit(controller, snapctl, flow, tmp_path):
    file = tmp_path / "in.json"
    file.write_text(json.dumps("x" * (50 * 2**20)))
    result = snapctl("run", str(flow), "--input-file", str(file))
    assert result.exit_code == 2
    assert "larger than 16 MiB" in result.err
    assert "path or a URL" in result.err
    assert not controller.requests


def test_fifteen_mebibytes_arrive_when_they_are_handed_over(controller, snapctl, flow, tmp_path):
    file = tmp_path / "in.json"
    file.write_text(json.dumps("x" * (15 * 2**20)))
    assert snapctl("run", str(flow), "--input-file", str(file)).exit_code == 0
    assert len(controller.requests_of("CreateExecution")[0].input_value_json) > 15 * 2**20


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["{dir}/absent.py"], "can't be read: No such file"),
        (["{dir}/latin.py"], "not UTF-8"),
        (["{flow}", "-i", "novalue"], "not KEY=VALUE"),
        (["{flow}", "-i", "=3"], "not KEY=VALUE"),
        (["{flow}", "--input-file", "{dir}/bad.json"], "not JSON"),
        (["{flow}", "--input-file", "{dir}/list.json", "-i", "a=1"], "holds a list"),
        (["{flow}", "--memory", "lots"], "not a size"),
        (["{flow}", "--memory", "0"], "not a size"),
        (["{flow}", "--pids", "-1"], "--pids -1"),
        (["{flow}", "--retries", "-1"], "--retries -1"),
        (["{flow}", "--backoff", "10s"], "give --retries, too"),
        (["{flow}", "--retries", "1", "--backoff", "soon"], "is not a duration"),
        (["{flow}", "--pids", "99999999999"], "--pids"),
    ],
)
def test_a_clear_message_is_printed_when_the_input_is_bad(controller, snapctl, flow, tmp_path, args, words):
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    (tmp_path / "bad.json").write_text("{'a': 1}")
    (tmp_path / "list.json").write_text("[1]")
    result = snapctl("run", *[arg.format(dir=tmp_path, flow=flow) for arg in args])
    assert result.exit_code == 2
    assert words in result.err
    assert not controller.requests


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        (types_pb2.EXECUTION_STATUS_ENDED_SUCCESS, 0),
        (types_pb2.EXECUTION_STATUS_ENDED_ERROR, 10),
        (types_pb2.EXECUTION_STATUS_ENDED_CANCELLED, 11),
    ],
)
def test_the_log_is_printed_and_the_end_told_when_it_is_followed(controller, snapctl, flow, status, exit_code):
    controller.answer("ReadLog", line(1, "one"), line(2, "restored", "system"))
    finish(controller, status, "why")
    result = snapctl("run", str(flow), "--follow")
    assert result.exit_code == exit_code
    assert result.out == "one\n[flowsnap] restored\n"
    assert "why" in result.err
    assert ("snapctl load f-1" in result.err) == bool(exit_code)


def test_the_stream_goes_on_where_it_broke_when_the_controller_restarts(controller, snapctl, flow):
    def read(request, context):
        if request.after_number == 0:
            yield line(1, "before")
            context.abort(grpc.StatusCode.UNAVAILABLE, "going down")
        yield line(request.after_number + 1, "after")

    controller.handle("ReadLog", read)
    finish(controller, types_pb2.EXECUTION_STATUS_ENDED_SUCCESS)
    result = snapctl("logs", "f-1", "-f")
    assert result.exit_code == 0
    assert result.out == "before\nafter\n"
    assert "waiting for it to come back" in result.err


def test_following_detaches_and_says_how_to_go_on_when_it_is_interrupted(controller, command, flow):
    gone = threading.Event()

    def read(_request, context):
        context.add_callback(gone.set)
        yield line(1, "one")
        gone.wait(30)

    controller.handle("ReadLog", read)
    with subprocess.Popen(
        [*command, "run", str(flow), "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "snapctl logs -f f-1" in err
    assert "snapctl cancel f-1" in err
    assert "Traceback" not in err
    assert gone.wait(10)


def test_the_pipes_end_is_met_quietly_when_the_reader_has_gone(controller, command):
    controller.handle("ReadLog", lambda *_: (line(number, "x" * 1000) for number in range(1, 20000)))
    with subprocess.Popen([*command, "logs", "e"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_one_document_per_line_is_printed_when_a_log_is_read_as_json(controller, snapctl):
    controller.answer("ReadLog", line(1, "a"), line(2, "b", "stderr"), line(3, "c", "log"))
    result = snapctl("logs", "e", "-o", "json")
    assert [json.loads(text)["text"] for text in result.out.splitlines()] == ["a", "b", "c"]
    assert snapctl("logs", "e", "--stream", "stderr").out == "b\n"
    refused = snapctl("logs", "e", "--stream", "stdin")
    assert refused.exit_code == 2
    assert "system" in refused.err


def test_odd_text_is_printed_when_the_terminal_can_not_encode_it(controller, snapctl_process):
    controller.answer("ReadLog", line(1, "snow ☃"))
    result = snapctl_process("logs", "e", env={"PYTHONIOENCODING": "ascii"})
    assert result.exit_code == 0
    assert result.out == "snow \\u2603\n"


def test_a_folder_is_sent_with_its_modules_when_it_has_one_file_with_a_handler(controller, snapctl, tmp_path):
    folder = tmp_path / "report"
    (folder / "helpers").mkdir(parents=True)
    (folder / "start.py").write_text("def handler(system, this): pass\n")
    (folder / "helpers" / "words.py").write_text("A = 1\n")
    (folder / ".hidden").write_text("")
    assert snapctl("run", f"{folder}/").exit_code == 0
    (request,) = controller.requests_of("CreateExecution")
    assert (request.flow_name, request.script_file) == ("report", "start.py")
    assert [(file.path, file.content) for file in request.files] == [("helpers/words.py", b"A = 1\n")]


def test_a_word_that_is_no_file_is_the_name_of_a_pushed_flow(controller, snapctl):
    assert snapctl("run", "nightly").exit_code == 0
    (request,) = controller.requests_of("CreateExecution")
    assert (request.flow, request.script) == ("nightly", "")


def test_a_commands_script_is_sent_along_and_its_words_stay(controller, snapctl, tmp_path):
    script = tmp_path / "backup.sh"
    script.write_text("echo $1\n")
    assert snapctl("run", "-n", "b", "--", "bash", "-x", str(script), "--all", "q\"'").exit_code == 0
    (request,) = controller.requests_of("CreateExecution")
    assert (request.flow_name, request.name, request.script_file) == ("backup.sh", "b", "_command.py")
    assert request.files[0].content == b"echo $1\n"
    assert "['bash', '-x', '/flow/backup.sh', '--all'" in request.script.replace('"', "'")
    compile(request.script, "_command.py", "exec")
