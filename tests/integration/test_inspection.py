"""Savepoints of real flows, read without restoring them: what is seen is what was there."""

from __future__ import annotations

import json

import grpc
import pytest
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import inspection_pb2
from platform_under_test import SUCCESS, Platform, running_platform

VALUES = """
    import collections
    import dataclasses
    import datetime
    import decimal

    @dataclasses.dataclass
    class Order:
        number: int
        lines: list
        customer: str = "Ada"

    @dataclasses.dataclass(slots=True)
    class Slim:
        a: int
        b: str

    class Account:
        def __init__(self):
            self.owner = "Eve"
            self.password = "geheim"

    class Names(list):
        pass

    def squares():
        total = 0
        for n in range(10):
            total += n * n
            yield total

    LIMIT = 12

    def handler(system, this):
        nothing, yes, no = None, True, False
        zero, answer, byte, below = 0, 42, 200, -5
        huge, deep = 2**100, -(2**70)
        ratio, infinite, turn = 2.5, float("inf"), 1 + 2j
        letter, empty, umlaut, euro, smile = "x", "", "Grüße", "1 €", "\U0001f600"
        raw, buffer = b"ab\\0", bytearray(b"xy")
        numbers, pair, single = [1, 2.5, None, True, "text"], (1, (2, 3)), (1,)
        table = {"a": 1, 2: [3], None: "x"}
        unique, frozen = {3, 1, 2}, frozenset(["f"])
        ordered = collections.OrderedDict(a=1)
        queue = collections.deque(range(70))
        default = collections.defaultdict(list, k=[1])
        when = datetime.datetime(2024, 5, 6, 7, 8, 9, 123)
        zoned = datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC)
        day, clock = datetime.date(2024, 5, 6), datetime.time(1, 2, 3)
        lasted = datetime.timedelta(days=1, seconds=5)
        price = decimal.Decimal("-1.25")
        order, slim, account, names = Order(7, [1, 2]), Slim(3, "b"), Account(), Names("ab")
        generator = squares()
        for _ in range(3):
            next(generator)
        error = ValueError("bad", 3)
        steps = range(1, 9, 2)
        function, kind = squares, Order
        loop = []
        loop.append(loop)
        nested = [[[[[1]]]]]
        long_text, long_list = "y" * 1000, list(range(1000))
        api_token = "abc123"
        config = {"secret": "s3cret", "user": "u", "url": "https://u:pw@example.org/?token=t&page=2"}
        captured = 43
        def inner():
            return captured
        this.save_dump("here")
        return 1
"""

EXPECTED = {
    "nothing": "None",
    "yes": "True",
    "no": "False",
    "zero": "0",
    "answer": "42",
    "byte": "200",
    "below": "-5",
    "huge": str(2**100),
    "deep": str(-(2**70)),
    "ratio": "2.5",
    "infinite": "inf",
    "turn": "(1+2j)",
    "letter": "'x'",
    "empty": "''",
    "umlaut": "'Grüße'",
    "euro": "'1 €'",
    "smile": "'\U0001f600'",
    "raw": r"b'ab\x00'",
    "buffer": "bytearray(b'xy')",
    "numbers": "[1, 2.5, None, True, 'text']",
    "pair": "(1, (2, 3))",
    "single": "(1,)",
    "table": "{'a': 1, 2: [3], None: 'x'}",
    "unique": "{1, 2, 3}",
    "frozen": "frozenset({'f'})",
    "ordered": "OrderedDict({'a': 1})",
    "queue": "deque([" + ", ".join(map(str, range(20))) + ", …])",
    "default": "defaultdict({'k': [1]})",
    "when": "datetime(2024, 5, 6, 7, 8, 9, 123)",
    "zoned": "datetime(2024, 5, 6, 0, 0, tzinfo=<timezone>)",
    "day": "date(2024, 5, 6)",
    "clock": "time(1, 2, 3)",
    "lasted": "timedelta(days=1, seconds=5)",
    "price": "Decimal('-1.25')",
    "order": "Order(number=7, lines=[1, 2], customer='Ada')",
    "slim": "Slim(a=3, b='b')",
    "account": "Account(owner='Eve', password=********)",
    "names": "Names(['a', 'b'])",
    "error": "ValueError('bad', 3)",
    "steps": "range(1, 9, 2)",
    "function": "<function squares>",
    "kind": "<class Order>",
    "loop": "[…]",
    "nested": "[[[[…]]]]",
    "long_text": "'" + "y" * 200 + "'… (1000 characters)",
    "long_list": "[" + ", ".join(map(str, range(20))) + ", …]",
    "api_token": "********",
    "config": "{'secret': ********, 'user': 'u', 'url': 'https://********@example.org/?token=********&page=2'}",
    "captured": "43",
    "inner": "<function handler.<locals>.inner>",
}


def inspect(platform: Platform, execution: str, name: str) -> inspection_pb2.Inspection:
    request = pb.InspectSavepointRequest(execution=execution, savepoint=pb.SavepointSelector(name=name))
    return platform.savepoint_service.InspectSavepoint(request, timeout=60).inspection


def diff(platform: Platform, execution: str, before: str, after: str) -> inspection_pb2.Comparison:
    request = pb.DiffSavepointsRequest(
        execution=execution, before=pb.SavepointSelector(name=before), after=pb.SavepointSelector(name=after)
    )
    return platform.savepoint_service.DiffSavepoints(request, timeout=60).comparison


def variables(found: inspection_pb2.Inspection, function: str) -> dict[str, str]:
    return {
        variable.name: variable.text
        for process in found.processes
        for thread in process.python.threads
        for frame in thread.frames
        if frame.function == function
        for variable in frame.variables
    }


def test_values_are_shown_as_python_writes_them_when_a_savepoint_is_inspected(platform: Platform) -> None:
    execution = platform.run(VALUES)
    platform.wait_ended(execution)
    found = inspect(platform, execution, "here")
    assert list(found.problems) == []
    shown = variables(found, "handler")
    assert {name: shown.get(name) for name in EXPECTED} == EXPECTED
    assert shown["generator"].startswith("<generator squares at flow.py:")
    assert shown["generator"].endswith(" (total=5, n=2)>")
    (process,) = found.processes
    assert process.python.version.startswith("3.13.")
    assert not process.python.problem
    (module,) = process.python.modules
    assert {variable.name: variable.text for variable in module.variables} == {"LIMIT": "12"}
    cut = {
        variable.name
        for thread in process.python.threads
        for frame in thread.frames
        for variable in frame.variables
        if variable.cut
    }
    assert cut == {"queue", "nested", "long_text", "long_list"}


TREE = """
    import mmap
    import socket
    import subprocess
    import sys
    import threading

    def waits(number, stop):
        mine = f"thread {number}"
        stop.wait()

    def deeper(this, depth):
        if depth:
            return deeper(this, depth - 1)
        this.save_dump("deep")

    def handler(system, this):
        stop = threading.Event()
        for number in range(2):
            threading.Thread(target=waits, args=(number, stop), name=f"worker-{number}", daemon=True).start()
        child = subprocess.Popen(
            [sys.executable, "-c", "x = 5\\nprint('up', flush=True)\\ninput()", "--password", "geheim", "--token=abc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        child.stdout.readline()
        listening = socket.create_server(("127.0.0.1", 8765))
        client = socket.create_connection(("127.0.0.1", 8765))
        server, _ = listening.accept()
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 8766))
        local = socket.socket(socket.AF_UNIX)
        local.bind("/tmp/sock")
        local.listen()
        file = open("/work/data.txt", "w")
        file.write("hello")
        file.flush()
        shared = mmap.mmap(-1, 1 << 20)
        shared.write(b"s" * (1 << 16))
        deeper(this, 2)
        child.kill()
"""


def test_processes_threads_and_files_are_shown_when_a_savepoint_is_inspected(platform: Platform) -> None:
    execution = platform.run(TREE)
    platform.wait_ended(execution)
    found = inspect(platform, execution, "deep")
    first, child = found.processes
    assert (first.parent_pid, child.parent_pid) == (0, first.pid)
    assert (first.command, first.state, child.state) == ("python3", "running", "running")
    assert list(child.arguments[-3:]) == ["--password", "********", "--token=********"]
    assert len(first.thread_ids) == 3

    threads = {thread.name: thread for thread in first.python.threads}
    assert set(threads) == {"MainThread", "worker-0", "worker-1"}
    assert {thread.id for thread in threads.values()} == set(first.thread_ids)
    stack = [(frame.file, frame.function) for frame in threads["MainThread"].frames if frame.is_users]
    assert stack == [("/flow/flow.py", function) for function in ("deeper", "deeper", "deeper", "handler")]
    script = platform.executions.GetExecution(pb.GetExecutionRequest(execution=execution)).script.splitlines()
    lines = [script[frame.line - 1].strip() for frame in threads["MainThread"].frames if frame.is_users]
    assert lines == ['this.save_dump("deep")', *["return deeper(this, depth - 1)"] * 2, "deeper(this, 2)"]
    depths = [
        variable.text
        for frame in threads["MainThread"].frames
        for variable in frame.variables
        if variable.name == "depth"
    ]
    assert depths == ["0", "1", "2"]
    mine = {v.name: v.text for frame in threads["worker-1"].frames for v in frame.variables}
    assert (mine["number"], mine["mine"]) == ("1", "'thread 1'")
    (of_child,) = child.python.threads
    (frame,) = of_child.frames
    assert frame.file == "<string>"
    assert frame.line in (2, 3)  # it has said that it is up, and may not have gone on yet
    assert {v.name: v.text for v in frame.variables} == {"x": "5"}

    files = {(file.kind, file.name): file for file in first.open_files}
    assert files["tcp", "127.0.0.1:8765"].state in ("listening", "established")
    sockets = [(file.name, file.state) for file in first.open_files if file.kind == "tcp"]
    assert ("127.0.0.1:8765", "listening") in sockets
    assert ("127.0.0.1:8765", "established") in sockets
    (client,) = [file for file in first.open_files if file.peer == "127.0.0.1:8765"]
    assert client.state == "established"
    assert files["udp", "127.0.0.1:8766"].state == "unconnected"
    assert files["unix", "/tmp/sock"].state == "listening"
    written = files["file", "/work/data.txt"]
    assert (written.mode, written.position, written.size_bytes) == ("write", 5, 5)
    assert ("pipe", "flowsnap calls") in files

    scratch = {file.path: (file.kind, file.size_bytes) for file in found.scratch_files}
    assert scratch["/work/data.txt"] == ("file", 5)
    assert scratch["/tmp/sock"] == ("socket", 0)
    (shared,) = [area for area in first.memory if area.kind == inspection_pb2.MEMORY_KIND_SHARED]
    assert (shared.dumped_bytes, shared.size_bytes) == (1 << 16, 1 << 20)
    kinds = {inspection_pb2.MemoryKind.Name(area.kind) for area in first.memory}
    assert {"MEMORY_KIND_HEAP", "MEMORY_KIND_STACK", "MEMORY_KIND_ANONYMOUS", "MEMORY_KIND_FILE"} <= kinds
    assert 0 < sum(area.dumped_bytes for area in first.memory) < found.savepoint.raw_bytes


CHANGES = """
    import os
    import subprocess

    def handler(system, this):
        same, changes, goes = "same", 1, "short"
        long = "a" * 3000 + "before"
        memory = bytearray(os.urandom(1 << 20))
        for name, text in (("kept", "1"), ("grows", "22"), ("goes", "333"), ("edited", "44")):
            with open(f"/work/{name}", "w") as file:
                file.write(text)
        this.set_output(step=1)
        this.save_dump("first")
        changes, comes = changes + 1, [1]
        long = "a" * 3000 + "after"
        del goes
        memory[:1 << 18] = os.urandom(1 << 18)
        os.unlink("/work/goes")
        for name, text in (("grows", "22222"), ("edited", "55"), ("comes", "6")):
            with open(f"/work/{name}", "w") as file:
                file.write(text)
        child = subprocess.Popen(["sleep", "1000"])
        this.set_output(step=2)
        this.save_dump("second")
        child.kill()
"""


def test_changes_alone_are_told_when_two_savepoints_are_compared(platform: Platform) -> None:
    execution = platform.run(CHANGES)
    platform.wait_ended(execution)
    found = diff(platform, execution, "first", "second")
    assert list(found.problems) == []
    kind = inspection_pb2.ChangeKind.Name
    changed = {change.name: (kind(change.kind), change.before, change.after) for change in found.variables}
    memory = changed.pop("memory")
    assert memory[0] == "CHANGE_KIND_CHANGED"
    assert memory[1] != memory[2]
    assert changed.pop("child")[0] == "CHANGE_KIND_ADDED"
    changed.pop("file", None)  # another object, maybe where the first one was
    before, after = "…" + "a" * 40, "…" + "a" * 40
    assert changed.pop("long") == ("CHANGE_KIND_CHANGED", f"{before}before'", f"{after}after'")
    assert changed == {
        "changes": ("CHANGE_KIND_CHANGED", "1", "2"),
        "comes": ("CHANGE_KIND_ADDED", "", "[1]"),
        "goes": ("CHANGE_KIND_REMOVED", "'short'", ""),
        "name": ("CHANGE_KIND_CHANGED", "'edited'", "'comes'"),
        "text": ("CHANGE_KIND_CHANGED", "'44'", "'6'"),
    }
    files = {
        change.path: (kind(change.kind), change.bytes_before, change.bytes_after) for change in found.scratch_files
    }
    assert files == {
        "/work/comes": ("CHANGE_KIND_ADDED", -1, 1),
        "/work/goes": ("CHANGE_KIND_REMOVED", 3, -1),
        "/work/grows": ("CHANGE_KIND_CHANGED", 2, 5),
        "/work/edited": ("CHANGE_KIND_CHANGED", 2, 2),
    }
    (process,) = found.processes
    assert (kind(process.kind), process.change) == ("CHANGE_KIND_ADDED", "sleep 1000")
    pages = {(area.pid, inspection_pb2.MemoryKind.Name(area.kind), area.path): area for area in found.memory}
    assert pages[1, "MEMORY_KIND_ANONYMOUS", ""].changed_pages >= (1 << 18) // 4096
    assert pages[process.pid, "MEMORY_KIND_STACK", ""].added_pages > 0
    assert json.loads(found.output_before_json) == {"step": 1}
    assert json.loads(found.output_after_json) == {"step": 2}
    assert not diff(platform, execution, "first", "first").variables


def test_same_is_shown_when_the_tree_was_restored(platform: Platform) -> None:
    """A restored process has its memory where it was, in areas that CRIU made."""
    execution = platform.run("""
        import threading

        def waits(stop):
            inner = "thread"
            stop.wait()

        def handler(system, this):
            number, items = 42, [1, "two"]
            stop = threading.Event()
            threading.Thread(target=waits, args=(stop,), daemon=True).start()
            this.save_dump("first")
            this.save_dump("second")
            stop.set()
    """)
    platform.wait_ended(execution)
    before = inspect(platform, execution, "second")
    platform.load(execution, name="first")
    platform.wait_ended(execution)
    after = inspect(platform, execution, "second")
    assert after.savepoint.branch == 2
    assert list(after.problems) == []
    assert variables(after, "handler") == variables(before, "handler")
    assert variables(after, "handler")["items"] == "[1, 'two']"
    assert variables(after, "waits")["inner"] == "'thread'"
    assert list(after.processes[0].thread_ids) == list(before.processes[0].thread_ids)


def test_other_programs_are_shown_when_no_python_runs(platform: Platform) -> None:
    """A child that is a shell, and one that has ended and was not waited for."""
    execution = platform.run("""
        import os
        import subprocess

        def handler(system, this):
            shell = subprocess.Popen(["sh", "-c", "echo up; read line"], stdin=-1, stdout=-1)
            shell.stdout.readline()
            ended = os.fork()
            if not ended:
                os._exit(3)
            os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
            this.save_dump("here")
            shell.kill()
    """)
    platform.wait_ended(execution)
    found = inspect(platform, execution, "here")
    assert list(found.problems) == []
    by_state = {process.state: process for process in found.processes if process.pid != 1}
    assert list(by_state["running"].arguments) == ["sh", "-c", "echo up; read line"]
    assert not by_state["running"].HasField("python")
    assert not by_state["zombie"].memory


def test_memory_that_lies_is_survived_when_a_flow_forges_it(platform: Platform) -> None:
    """Lengths, types and links of live objects overwritten for the time of the savepoint."""
    execution = platform.run("""
        import ctypes

        def handler(system, this):
            forged = []

            def forge(value, offset, number):
                field = ctypes.c_uint64.from_address(id(value) + offset)
                forged.append((field, field.value))
                field.value = number
                return value

            length = forge(["a"], 16, 1 << 40)
            items = forge(["b"], 24, 0xdead0000)
            kind = forge(["c"], 8, 0x41414141)
            text = forge("d" * 50, 16, 1 << 47)
            number = forge(1 << 90, 16, 1 << 62)
            table = forge({"e": 1}, 32, id(length))
            honest = "still here"
            this.save_dump("forged")
            for field, number in forged:
                field.value = number
    """)
    assert platform.wait_ended(execution).status == SUCCESS
    shown = variables(inspect(platform, execution, "forged"), "handler")
    assert shown["honest"] == "'still here'"
    absent = "<not in the savepoint>"
    assert [shown[name] for name in ("items", "kind", "table")] == [absent] * 3
    assert shown["text"][1:].startswith("ddd")  # quotes depend on what follows in memory
    assert shown["length"].startswith("['a', ")
    assert shown["number"] == "<int of more than 3000 bits>"


def test_little_is_read_when_the_heap_is_large(platform: Platform) -> None:
    """256 MiB that don't compress: reading them all, the budget of 64 MiB would be used up, and a note would say so."""
    execution = platform.run("""
        import os

        def handler(system, this):
            big = [os.urandom(1 << 20) for _ in range(256)]
            small = "here"
            this.save_dump("large")
    """)
    platform.wait_ended(execution)
    found = inspect(platform, execution, "large")
    assert found.savepoint.raw_bytes > 256 << 20
    assert list(found.problems) == []
    assert not found.processes[0].python.problem
    shown = variables(found, "handler")
    assert shown["small"] == "'here'"
    assert shown["big"].startswith("[b")


def test_the_rest_is_shown_when_the_container_image_is_not_at_hand(tmp_path, monkeypatch) -> None:
    """The engine is gone after the end: names of built-in types are in the program's file alone."""
    with running_platform(tmp_path / "data") as platform:
        execution = platform.run("""
            def handler(system, this):
                number, text = 7, "seven"
                this.save_dump("here")
        """)
        platform.wait_ended(execution)
        platform.kill_controller()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
        platform.start()
        found = inspect(platform, execution, "here")
        assert "the Docker engine does not answer" in found.problems[0]
        shown = variables(found, "handler")
        assert "'seven'" in shown["text"]
        assert "7" in shown["number"]
        monkeypatch.undo()
        platform.kill_controller()
        platform.start()


@pytest.mark.parametrize("method", ["inspect", "diff"])
def test_damage_is_told_when_the_image_is_gone(own_platform: Platform, method: str) -> None:
    execution = own_platform.run("""
        def handler(system, this):
            this.save_dump("here")
    """)
    own_platform.wait_ended(execution)
    (savepoint,) = [one for one in own_platform.savepoints(execution) if one.name == "here"]
    (own_platform.data_dir / "store" / "manifests" / f"{savepoint.id}.manifest").unlink()
    with pytest.raises(grpc.RpcError) as error:
        inspect(own_platform, execution, "here") if method == "inspect" else diff(
            own_platform, execution, "here", "here"
        )
    assert error.value.code() == grpc.StatusCode.DATA_LOSS
    assert savepoint.id in error.value.details()
