"""savepoints, savepoint create and show, load, undo."""

from __future__ import annotations

import os
import pty
import subprocess

import grpc
import pytest
from flowsnap.v1 import control_pb2, inspection_pb2, types_pb2
from google.protobuf.timestamp_pb2 import Timestamp

EXECUTION = types_pb2.Execution(
    id="aa11", name="up-1", status=types_pb2.EXECUTION_STATUS_ENDED_ERROR, branch=2, head_savepoint_id="sp-2"
)


def savepoint(number: int, branch: int, name: str = "", parent: int = 0) -> types_pb2.Savepoint:
    return types_pb2.Savepoint(
        id=f"sp-{number}",
        parent_id=f"sp-{parent}" if parent else "",
        execution_id="aa11",
        number=number,
        name=name,
        kind=types_pb2.SAVEPOINT_KIND_EXPLICIT,
        branch=branch,
        call="create_dump",
        file="up.py",
        line=5,
        created_at=Timestamp(seconds=1_700_000_000),
        raw_bytes=3 * 2**20,
        stored_bytes=4096,
        frozen_us=7940,
    )


LOADED = control_pb2.LoadSavepointResponse(
    execution=EXECUTION,
    savepoint=savepoint(2, 1, "fetched"),
    left_behind=3,
    repeated_calls=["connect"],
    restore_us=14500,
    total_us=30100,
)


@pytest.fixture(autouse=True)
def scripted(controller):
    controller.answer("GetExecution", control_pb2.GetExecutionResponse(execution=EXECUTION))
    controller.answer("LoadSavepoint", LOADED)
    controller.answer(
        "ListSavepoints",
        control_pb2.ListSavepointsResponse(savepoints=[savepoint(1, 1, "a"), savepoint(2, 2, "b"), savepoint(3, 1)]),
    )


def test_the_one_that_the_execution_stands_on_is_marked_when_savepoints_are_listed(snapctl):
    _, first, head, _ = snapctl("savepoints", "up-1").out.splitlines()
    assert head.split()[:4] == ["*", "2", "b", "EXPLICIT"]
    assert first.split()[:2] == ["1", "a"]
    for text in ("create_dump", "up.py:5", "3.0 MiB", "4.0 KiB", "7.9"):
        assert text in head
    found = snapctl("savepoints", "up-1", "-o", "json").json["savepoints"]
    assert [one["head"] for one in found] == [False, True, False]
    assert found[0]["raw_bytes"] == 3 * 2**20
    assert found[0]["kind"] == "EXPLICIT"


def test_branches_stand_below_the_savepoint_they_began_from_when_it_is_a_tree(controller, snapctl):
    found = [
        savepoint(1, 1, "a"),
        savepoint(2, 1, parent=1),
        savepoint(3, 1, "b [red]\x1b", parent=2),
        savepoint(4, 2, parent=1),
        savepoint(5, 3, parent=4),
        savepoint(6, 2, parent=4),
        savepoint(7, 4, parent=1),
        # Its parent was removed.
        savepoint(8, 5, parent=99),
    ]
    controller.answer("ListSavepoints", control_pb2.ListSavepointsResponse(savepoints=found))
    result = snapctl("savepoints", "up-1", "--tree")
    assert result.exit_code == 0
    lines = [line[: line.index("  create_dump")] if "create_dump" in line else line for line in result.out.splitlines()]
    assert lines == [
        "up-1",
        "├── branch 1",
        "│   ├── 1  'a'",
        "│   │   ├── branch 2",
        "│   │   │   ├── 4",
        "│   │   │   │   └── branch 3",
        "│   │   │   │       └── 5",
        "│   │   │   └── 6",
        "│   │   └── branch 4",
        "│   │       └── 7",
        "│   ├── 2",
        "│   └── 3  'b [red]�'",
        "└── branch 5",
        "    └── 8",
    ]
    (head,) = [line for line in result.out.splitlines() if line.endswith("*")]
    assert head.split()[:3] == ["│", "├──", "2"]
    assert "up.py:5" in head
    document = snapctl("savepoints", "up-1", "--tree", "-o", "json").json
    assert [one["parent_id"] for one in document["savepoints"]][:3] == ["", "sp-1", "sp-2"]


def test_a_tree_of_a_thousand_savepoints_and_branches_is_printed(controller, snapctl):
    chain = [savepoint(n, n, parent=n - 1) for n in range(1, 300)]
    found = chain + [savepoint(n, 1, parent=n - 1 if n > 300 else 1) for n in range(300, 1000)]
    controller.answer("ListSavepoints", control_pb2.ListSavepointsResponse(savepoints=found))
    result = snapctl("savepoints", "up-1", "--tree")
    assert (result.exit_code, result.out.count("create_dump")) == (0, 999)


def test_the_number_is_the_result_when_a_savepoint_is_taken(controller, snapctl):
    controller.answer("CreateSavepoint", control_pb2.CreateSavepointResponse(savepoint=savepoint(4, 2, "now")))
    assert snapctl("savepoint", "create", "up-1", "--name", "now").out == "4\n"
    assert controller.requests_of("CreateSavepoint")[0].name == "now"


def inspection() -> inspection_pb2.Inspection:
    frames = [
        inspection_pb2.PythonFrame(file="/usr/lib/python3.13/threading.py", function="wait", line=7),
        inspection_pb2.PythonFrame(
            file="/flow/up.py",
            function="handler",
            line=5,
            is_users=True,
            variables=[inspection_pb2.PythonVariable(name="count", type="int", text="42")],
        ),
    ]
    python = inspection_pb2.PythonInspection(
        version="3.13.5",
        threads=[inspection_pb2.PythonThread(id=1, name="Main\x1b", frames=frames)],
        modules=[
            inspection_pb2.PythonModule(
                file="/flow/up.py", variables=[inspection_pb2.PythonVariable(name="LIMIT", text="\x1b[31m12")]
            )
        ],
        problem="reading was stopped: too many objects",
    )
    return inspection_pb2.Inspection(
        savepoint=savepoint(2, 1, "fetched"),
        output_value_json=b'{"a": 1}',
        processes=[
            inspection_pb2.ProcessInspection(
                pid=1,
                command="python3",
                arguments=["python3", "-m", "x"],
                state="running",
                thread_ids=[1],
                memory=[
                    inspection_pb2.MemoryArea(
                        kind=inspection_pb2.MEMORY_KIND_HEAP, size_bytes=2**21, dumped_bytes=2**20
                    ),
                    inspection_pb2.MemoryArea(kind=inspection_pb2.MEMORY_KIND_FILE, path="/usr/bin/x"),
                ],
                open_files=[
                    inspection_pb2.OpenFile(
                        descriptor=3, kind="tcp", name="127.0.0.1:80", state="listening", position=-1
                    )
                ],
                python=python,
            ),
            inspection_pb2.ProcessInspection(pid=4, parent_pid=1, command="sh", state="zombie"),
        ],
        scratch_files=[inspection_pb2.ScratchFile(path="/work/a", kind="file", size_bytes=2048)],
        scratch_file_count=1,
        scratch_bytes=2048,
        problems=["criu/mm-4.img: it is missing or empty"],
    )


def test_all_that_it_holds_is_shown_when_a_savepoint_is_chosen(controller, snapctl):
    controller.answer("InspectSavepoint", control_pb2.InspectSavepointResponse(inspection=inspection()))
    result = snapctl("savepoint", "show", "up-1", "name=fetched")
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    for line in (
        "Id: sp-2",
        "1 running 1 python3 -m x",
        "4 zombie 0 [sh]",
        "Python 3.13.5: process 1, thread 1, Main\N{REPLACEMENT CHARACTER}, newest call last",
        "/flow/up.py:5 in handler",
        "count = 42",
        "LIMIT = \N{REPLACEMENT CHARACTER}[31m12",
        "1 3 tcp 127.0.0.1:80 listening",
        "1 heap 1.0 MiB 2.0 MiB",
        "1 /usr/bin/x 0 B 0 B",
        "Files of the flow: 1, 2.0 KiB",
        "/work/a 2.0 KiB",
    ):
        assert line in lines
    assert lines.index("/usr/lib/python3.13/threading.py:7 in wait") > lines.index("/flow/up.py:5 in handler")
    assert "note: process 1: reading was stopped: too many objects" in result.err
    assert "note: criu/mm-4.img: it is missing or empty" in result.err


def test_one_document_is_printed_when_json_is_asked_for(controller, snapctl):
    controller.answer("InspectSavepoint", control_pb2.InspectSavepointResponse(inspection=inspection()))
    found = snapctl("savepoint", "show", "up-1", "--name", "fetched", "-o", "json").json
    assert (found["frozen_us"], found["output_value"]) == (7940, {"a": 1})
    assert found["processes"][0]["memory"][0]["kind"] == "HEAP"
    assert found["processes"][0]["python"]["threads"][0]["frames"][1]["variables"][0]["text"] == "42"
    assert found["processes"][1]["python"] is None


@pytest.mark.parametrize(
    ("args", "id_", "name"),
    [
        (["2"], "2", ""),
        (["id=sp-2"], "sp-2", ""),
        (["name=fetched"], "", "fetched"),
        (["--id", "2"], "2", ""),
        (["--name", "2"], "", "2"),
    ],
)
def test_number_id_and_name_are_told_apart_when_a_savepoint_is_shown(controller, snapctl, args, id_, name):
    controller.answer("InspectSavepoint", control_pb2.InspectSavepointResponse(inspection=inspection()))
    assert snapctl("savepoint", "show", "up-1", *args).exit_code == 0
    (request,) = controller.requests_of("InspectSavepoint")
    assert (request.savepoint.id, request.savepoint.name) == (id_, name)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["2", "--name", "a"], "choose one"),
        (["fetched"], "write its number, id=ID or name=NAME"),
        ([], "no savepoint is given"),
    ],
)
def test_one_choice_is_asked_for_when_a_savepoint_is_shown(controller, snapctl, args, words):
    result = snapctl("savepoint", "show", "up-1", *args)
    assert result.exit_code == 2
    assert words in result.err


def test_what_differs_is_shown_when_two_savepoints_are_compared(controller, snapctl):
    change = inspection_pb2.VariableChange
    comparison = inspection_pb2.Comparison(
        before=savepoint(1, 1),
        after=savepoint(2, 1, "fetched"),
        processes=[inspection_pb2.ProcessChange(kind=1, pid=4, command="sleep", change="sleep 10")],
        variables=[
            change(kind=3, pid=1, thread_id=1, file="/flow/up.py", function="handler", name="n", before="1", after="2"),
            change(kind=1, pid=1, thread_id=1, file="/flow/up.py", function="handler", name="new", after="[]"),
            change(kind=2, pid=1, file="/flow/up.py", name="GONE", before="'x'"),
        ],
        scratch_files=[
            inspection_pb2.ScratchFileChange(kind=3, path="/work/a", bytes_before=0, bytes_after=2048),
            inspection_pb2.ScratchFileChange(kind=1, path="/work/b", bytes_before=-1, bytes_after=3),
        ],
        memory=[inspection_pb2.MemoryChange(pid=1, kind=inspection_pb2.MEMORY_KIND_HEAP, changed_pages=2)],
        output_before_json=b"null",
        output_after_json=b'{"a":1}',
        problems=["process 4: variables can't be read: Python 3.14.0 is not known"],
    )
    controller.answer("DiffSavepoints", control_pb2.DiffSavepointsResponse(comparison=comparison))
    result = snapctl("diff", "up-1", "1", "name=fetched")
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    for line in (
        "From savepoint 1 to savepoint 2 (fetched)",
        'null -> {"a":1}',
        "+ 4 sleep sleep 10",
        "Variables of handler in /flow/up.py (process 1, thread 1)",
        "~ n = 1 -> 2",
        "+ new = []",
        "- GONE = 'x'",
        "~ /work/a 0 B -> 2.0 KiB",
        "+ /work/b 3 B",
        "1 heap 8.0 KiB",
    ):
        assert line in lines
    assert "Python 3.14.0 is not known" in result.err
    (request,) = controller.requests_of("DiffSavepoints")
    assert (request.before.id, request.after.name) == ("1", "fetched")
    assert snapctl("diff", "up-1", "1", "2", "-o", "json").json["variables"][0]["kind"] == "CHANGED"


def test_errors_have_their_exit_codes_when_an_image_is_damaged(controller, snapctl):
    controller.refuse("InspectSavepoint", grpc.StatusCode.DATA_LOSS, "savepoint 2: its image is gone")
    result = snapctl("savepoint", "show", "up-1", "2")
    assert result.exit_code == 9
    assert "its image is gone" in result.err


@pytest.mark.parametrize(("args", "words"), [([], "no savepoint is given"), (["--id", "1", "--name", "a"], "both")])
def test_exactly_one_choice_is_asked_for_when_a_savepoint_is_loaded(controller, snapctl, args, words):
    result = snapctl("load", "up-1", *args)
    assert result.exit_code == 2
    assert words in result.err
    assert not controller.requests


def test_it_is_loaded_without_asking_when_there_is_no_terminal(controller, snapctl):
    result = snapctl("load", "up-1", "--name", "fetched")
    assert result.exit_code == 0
    assert "up-1 is back at savepoint 2 (fetched), after 30.1 ms (restore 14.5 ms)" in result.out
    assert "carried out again: connect" in result.out
    assert "snapctl undo up-1" in result.err
    (request,) = controller.requests_of("LoadSavepoint")
    assert (request.savepoint.name, request.dry_run) == ("fetched", False)


def test_nothing_is_changed_when_the_run_is_dry(controller, snapctl):
    result = snapctl("load", "up-1", "--id", "2", "--dry-run")
    assert result.exit_code == 0
    assert "3 newer savepoints" in result.out
    assert "Carried out again: connect" in result.out
    assert "child executions" in result.out
    assert [request.dry_run for request in controller.requests_of("LoadSavepoint")] == [True]
    assert snapctl("load", "up-1", "--id", "2", "--dry-run", "-o", "json").json["left_behind"] == 3


def on_a_terminal(command: list[str], answer: str) -> tuple[int, str]:
    """Exit code and what the terminal showed."""
    master, slave = pty.openpty()
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        os.write(master, answer.encode())
        shown = b""
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # Linux says EIO once the last writer has gone.
                break
            if not chunk:
                break
            shown += chunk
    os.close(master)
    return process.returncode, shown.decode()


def test_the_plan_is_shown_and_the_agreed_savepoint_loaded_when_a_person_says_yes(controller, command):
    exit_code, shown = on_a_terminal([*command, "load", "up-1", "--name", "fetched"], "y\n")
    assert exit_code == 0
    assert "3 newer savepoints" in shown
    assert "is back at savepoint 2" in shown
    asked, loaded = controller.requests_of("LoadSavepoint")
    assert (asked.dry_run, asked.savepoint.name) == (True, "fetched")
    assert (loaded.dry_run, loaded.savepoint.id) == (False, "sp-2")


def test_nothing_is_changed_when_a_person_says_no(controller, command):
    exit_code, shown = on_a_terminal([*command, "load", "up-1", "--name", "fetched"], "n\n")
    assert exit_code == 1
    assert "nothing was changed" in shown
    assert [request.dry_run for request in controller.requests_of("LoadSavepoint")] == [True]


def test_nobody_is_asked_when_yes_was_given(controller, command):
    exit_code, shown = on_a_terminal([*command, "load", "up-1", "--id", "2", "-y"], "")
    assert exit_code == 0
    assert "Load it?" not in shown
    assert [request.dry_run for request in controller.requests_of("LoadSavepoint")] == [False]


def test_a_table_without_colours_is_drawn_when_a_terminal_has_no_color_set(command, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    _, coloured = on_a_terminal([*command, "ls"], "")
    _, shown = on_a_terminal([*command, "savepoints", "up-1"], "")
    assert "create_dump" in shown
    monkeypatch.setenv("NO_COLOR", "1")
    _, plain = on_a_terminal([*command, "ls"], "")
    assert "\x1b[" in coloured
    assert "\x1b[3" not in plain


def test_where_it_stands_is_told_when_a_load_is_undone(controller, snapctl):
    undone = control_pb2.UndoLoadResponse(
        execution=EXECUTION, savepoint=savepoint(5, 1), undone=savepoint(2, 1, "fetched")
    )
    controller.answer("UndoLoad", undone)
    assert snapctl("undo", "up-1").out == (
        "up-1 stands at savepoint 5; the load of savepoint 2 (fetched) was taken back\n"
    )
    undone.ClearField("savepoint")
    assert "is ENDED_ERROR again" in snapctl("undo", "up-1").out
    assert snapctl("undo", "up-1", "-o", "json").json["savepoint"] is None
