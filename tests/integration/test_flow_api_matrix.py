"""Every call of the Flow-API, three times: carried out, carried out again by a load, and recovered after a kill.

Each case is a script in two parts, what comes before and the call as an expression, and what that gives.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sqlite3
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import snapctl
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import CANCELLED, ERROR, SUCCESS, Platform

import controller.flow_calls
import flow_api

_SCRIPT = """
import flow_api

def handler(system, this):
    {before}
    print("RESULT", repr({call}))
    this.sleep(3600)
"""

# The child that many cases need: it gives back what it was given.
_ECHO = "def handler(system, this):\n    this.save(output_value=this.get('input_value'))\n"
_LEFT = "def handler(system, this):\n    this.sleep(3600)\n"
_MARKED = "def handler(system, this):\n    this.create_dump('its own')\n    this.sleep(3600)\n"
_FAILING = "def handler(system, this):\n    this.error('no')\n"


@dataclass(frozen=True)
class Case:
    """loaded: what a second pass gives, where the first or the load itself has changed what the call reads."""

    name: str  # as the savepoint has it
    call: str
    gives: str
    before: str = "pass"
    loaded: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.call}"


_SIGN = "action='presign', bucket='b', key='k', access_key_id='a', secret_access_key='s'"
# A child that has come to its sleep.
_ASLEEP = "\n    while child.load('status') != 'SLEEPING': this.sleep(0.05)"


def _child(script: str) -> str:
    return f"child = this.script({script!r}, wait=False)"


_SAVED = "system.setting('matrix-i').save(17)"
_STORED = "system.file('matrix-i').save('ab')"
_SENT = "message = system.message('subject', message='text')"

CASES = [
    Case("get", "this.get('flow_name')", "'flow.py'"),
    Case("get", "this.get('type', 'message')", "('FLOW', 'hi')", "this.save(message='hi')", "('FLOW', '')"),
    Case("load", "this.load('output_value')", "{'k': 1}", "this.set_output(k=1)"),
    Case("save", "this.save(message='m', output_value=[1]).get('message', 'output_value')", "('m', [1])"),
    Case("save", "this.set(message='kept').save().get('message')", "'kept'"),
    Case("set_output", "this.set_output('k', 1).get('output_value')", "{'k': 1}"),
    Case("log", "this.log('a', b=2)", "None"),
    Case("sleep", "this.sleep(0.01)", "None"),
    Case("retry", "this.retry(1, savepoint='x', backoff=0.5)", "None"),
    Case("sleep_until", "this.sleep_until(0)", "None"),
    Case("flow", "this.flow('matrix-echo', 1).get('output_value')", "1"),
    Case("flow", "this.flow('matrix-echo', {'a': 1}, b=2).get('output_value')", "{'a': 1, 'b': 2}"),
    Case("flow", "this.flow('matrix-echo', run=False).get('type')", "'FLOW'"),
    Case("flow", "this.flow('matrix-echo', 7, save=False).clone(name='c').run().get('name')", "'c'"),
    Case("script", f"this.script({_ECHO!r}, 'in').get('output_value', 'type')", "('in', 'SCRIPT')"),
    Case("connect", "this.connect('matrix', fetchval='SELECT 6 * 7').get('output_value')['result']", "42"),
    # Signing an address asks no server.
    Case("task", f"this.task('S3', {_SIGN}).get('type', 'status')", "('TASK', 'ENDED_SUCCESS')"),
    Case(
        "connect",
        "this.connect('matrix', from_='a', wait=system.return_when.ALL_ENDED).get('input_value')",
        "{'from': 'a'}",
    ),
    Case("connect", "this.connect('matrix')", "MissingInputError"),
    Case("connect", "this.connect('matrix', fetchval=5)", "InvalidInputError"),
    Case("connect", "this.connect('matrix', fetchval='SELECT 1', nonsense=1)", "ExtraInputError"),
    Case("connect", "this.connect('matrix', fetchval='SELECT nonsense')", "ConnectorError"),
    Case("connect", "this.connect('matrix-absent')", "ResourceNotFoundError"),
    Case("run", "child.run().get('output_value')", "1", "child = this.flow('matrix-echo', 1, run=False)"),
    Case(
        "wait_for",
        "[one.get('status') for one in this.wait_for(child, return_when=system.return_when.ALL_ENDED)]",
        "['ENDED_SUCCESS']",
        _child(_ECHO),
    ),
    Case("wait_for", "child.wait().get('output_value')", "None", _child(_ECHO)),
    Case("wait_for", "child.wait(timeout=0.01)", "DependencyTimeoutError", _child(_LEFT)),
    Case(
        "script",
        f"this.script({_FAILING!r}, wait=system.return_when.ALL_ENDED).get('status', 'message')",
        "('ENDED_ERROR', 'no')",
    ),
    Case("script", f"this.script({_FAILING!r})", "DependencyFailedError"),
    Case("script", f"this.script({_ECHO!r}, 1, wait=False).wait().get('output_value')", "1"),
    Case("script", f"this.script({_ECHO!r}, init={{'name': 'i'}}).get('name', 'input_value')", "('i', None)"),
    Case(
        "run",
        "child.run_async().wait().get('output_value')",
        "{'a': 1}",
        "child = this.flow('matrix-echo', {'a': 1}, run=False)",
    ),
    Case("cancel", "child.cancel() and child.load('status')", "'ENDED_CANCELLED'", _child(_LEFT)),
    Case(
        "resume",
        "child.resume() and child.load('status') != 'PAUSED'",
        "True",
        _child(_LEFT) + _ASLEEP + "\n    child.pause()",
    ),
    Case(
        "load_savepoint",
        "child.load_dump('its own', by='name') or child.load('branch')",
        "2",
        _child(_MARKED) + _ASLEEP,
        "3",
    ),
    Case("savepoints", "[point['name'] for point in this.savepoints()][0]", "'first'", "this.create_dump('first')"),
    Case("take_savepoint", "child.create_dump('its own')[:3]", "'sp-'", _child(_LEFT) + _ASLEEP),
    Case("pause", "child.pause() and child.load('status')", "'PAUSED'", _child(_LEFT) + _ASLEEP),
    Case("create_dump", "this.create_dump('here')[:3]", "'sp-'"),
    Case("create_dump", "this.save_dump()[:3]", "'sp-'"),
    Case("env_name", "system.get_env_name()", "'default'"),
    Case("flow_get", "system.flow('matrix-echo').get('name')", "'matrix-echo'"),
    Case("flow_exists", "system.flow('no such').exists()", "False"),
    Case(
        "flow_list",
        "[f.get('name') for f in system.flows({'field': 'name', 'op': 'eq', 'value': 'matrix-echo'})]",
        "['matrix-echo']",
    ),
    Case(
        "execution_list",
        "[e.get('type') for e in system.executions({'field': 'id', 'op': 'eq', 'value': me})]",
        "['FLOW']",
        "me = this.get('id')",
    ),
    Case("get", "system.execution(me).get('status')", "'RUNNING'", "me = this.get('id')"),
    Case("setting_get", "system.setting('matrix').get()", "1", "system.setting('matrix').save(1)"),
    Case("setting_save", "system.setting('matrix-s').save(2) and system.setting('matrix-s').get()", "2"),
    Case("setting_exists", "system.setting('matrix-absent').exists()", "False"),
    Case(
        "setting_delete",
        "system.setting('matrix-d').delete()",
        "None",
        "system.setting('matrix-d').save(1)",
        "ResourceNotFoundError",
    ),
    Case(
        "setting_list_append",
        "len(system.setting(me).list_append('x').get())",
        "1",
        "me = this.get('id')",
        "2",
    ),
    Case("setting_acquire", "bool(system.setting(me).acquire(timeout=5))", "True", "me = this.get('id')"),
    Case(
        "setting_release",
        "system.setting(me).release()",
        "True",
        "me = this.get('id'); system.setting(me).acquire()",
        "False",
    ),
    Case("file_save", "system.file('matrix').save('text').get()", "'text'"),
    Case("file_get", "system.file('matrix-g').get('content_bytes')", "b'ab'", "system.file('matrix-g').save(b'ab')"),
    Case("file_exists", "system.file('matrix-absent').exists()", "False"),
    Case(
        "file_delete",
        "system.file('matrix-d').delete()",
        "None",
        "system.file('matrix-d').save('')",
        "ResourceNotFoundError",
    ),
    Case("connection_get", "system.connection('matrix').get('connection_type')", "'SQLITE'"),
    Case("connection_exists", "system.connection('matrix-absent').exists()", "False"),
    Case(
        "connection_save",
        "system.connection('matrix-c').save('SQLITE', {'path': ':memory:'}).exists()",
        "True",
    ),
    Case(
        "connection_delete",
        "system.connection('matrix-x').delete()",
        "None",
        "system.connection('matrix-x').save('SQLITE', {'path': ':memory:'})",
        "ResourceNotFoundError",
    ),
    Case("setting_show", "system.setting('matrix-i').get('name', 'size_bytes')", "('matrix-i', 2)", _SAVED),
    Case("setting_list", "[one.name for one in system.settings(BY_NAME)]", "['matrix-i']", _SAVED),
    Case("file_show", "system.file('matrix-i').get('name', 'size_bytes')", "('matrix-i', 2)", _STORED),
    Case("file_list", "[one.name for one in system.files(BY_NAME)]", "['matrix-i']", _STORED),
    Case("message_send", "system.message('subject', message='text').get('status')", "'OPEN'"),
    Case("message_get", "message.get('subject', 'status', 'response')", "('subject', 'OPEN', None)", _SENT),
    Case("message_wait", "message.wait(timeout=0.01)", "MessageResponseTimeoutError", _SENT),
    Case("message_list", "[one.id for one in system.messages(MINE)] == [message.id]", "True", _SENT),
    Case("message_delete", "message.delete()", "None", _SENT, "ResourceNotFoundError"),
]


@pytest.fixture(scope="module", autouse=True)
def prepared(platform: Platform) -> None:
    platform.push("matrix-echo", _ECHO)
    path = str(platform.data_dir / "matrix.db")
    sqlite3.connect(path).close()
    platform.connect("matrix", "SQLITE", path=path)


def script_of(case: Case) -> str:
    call = case.call.replace("BY_NAME", "{'field': 'name', 'op': 'eq', 'value': 'matrix-i'}")
    call = call.replace("MINE", "{'field': 'execution_id', 'op': 'eq', 'value': message.get('execution_id')}")
    return _SCRIPT.format(before=case.before, call=f"attempt(lambda: {call})") + textwrap.dedent(
        """
        def attempt(call):
            try:
                return call()
            except flow_api.FlowsnapException as error:
                return type(error)
        """
    )


def shown(gives: str) -> str:
    return f"<class 'flow_api.exceptions.{gives}'>" if gives.endswith("Error") else gives


# Those that end the execution or take it elsewhere have tests of their own below.
BELOW = {"success", "error", "load_dump"}
# The library spells it create_dump.
ANOTHER_SPELLING = {"save_dump"}


def registered() -> set[str]:
    """The calls that a controller carries out."""
    names: set[str] = set()
    for found in pkgutil.iter_modules(controller.flow_calls.__path__, "controller.flow_calls."):
        for group in vars(importlib.import_module(found.name)).values():
            if isinstance(group, type) and hasattr(group, "handlers"):
                # What they are made of is needed to carry them out only.
                names |= group.__new__(group).handlers().keys()
    return names


def test_the_matrix_has_every_call_that_the_controller_carries_out() -> None:
    assert {"get", "flow", "setting_get", "message_wait", "file_list"} <= registered()
    assert registered() - ANOTHER_SPELLING == {case.name for case in CASES} | BELOW


def test_the_controller_carries_out_every_call_that_the_library_makes() -> None:
    library = Path(flow_api.__file__).parent
    made = {
        name
        for module in library.glob("*.py")
        for name in re.findall(r"(?:\bcall|_child|_read|listed)\((?:[\w.]+, )?\"(\w+)\"", module.read_text())
    }
    assert {"flow", "get", "setting_get", "execution_list"} <= made
    assert made - registered() == set()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_call_gives_the_documented_result_when_it_is_carried_out_and_when_it_is_loaded(
    platform: Platform, case: Case
) -> None:
    execution = platform.run(script_of(case))
    assert platform.wait_results(execution, 1) == [shown(case.gives)]
    point = platform.wait_savepoint(execution, case.name, "handler.<locals>.<lambda>")
    platform.load(execution, id=str(point.number))
    assert platform.wait_results(execution, 2)[1] == shown(case.loaded or case.gives)
    platform.cancel(execution)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_call_gives_what_it_gave_when_its_flow_is_killed_behind_it(platform: Platform, case: Case) -> None:
    script = script_of(case).replace("this.sleep(3600)\n", "import time; time.sleep(3600)\n", 1)
    execution = platform.run(script)
    first = platform.wait_results(execution, 1)
    assert first == [shown(case.gives)]
    platform.kill_flow(execution)
    assert platform.wait_results(execution, 2) == first * 2
    recovered = platform.get(execution)
    assert (recovered.recovery_count, recovered.branch, recovered.load_count) == (1, 1, 0)
    platform.cancel(execution)


@pytest.mark.parametrize(
    ("call", "status"),
    [("this.success('end')", SUCCESS), ("this.error('end')", ERROR), ("this.cancel('end')", CANCELLED)],
)
def test_an_end_is_the_end_again_when_it_is_loaded(platform: Platform, call: str, status: int) -> None:
    execution = platform.run(f"def handler(system, this):\n    {call}\n")
    for branch in (1, 2, 3):
        platform.wait_until(lambda branch=branch: platform.get(execution).branch == branch, execution)
        ended = platform.wait_ended(execution)
        assert (ended.status, ended.message, ended.branch) == (status, "end", branch)
        if branch < 3:
            platform.load(execution, id="1")


def test_a_pause_is_a_pause_again_when_it_is_loaded(platform: Platform) -> None:
    execution = platform.run("def handler(system, this):\n    this.pause()\n    this.success('went on')\n")
    for _ in range(2):
        platform.wait_status(execution, types_pb2.EXECUTION_STATUS_PAUSED)
        platform.load(execution, id="1")
    platform.wait_status(execution, types_pb2.EXECUTION_STATUS_PAUSED)
    platform.executions.ResumeExecution(pb.ResumeExecutionRequest(execution=execution), timeout=30)
    assert platform.wait_ended(execution).message == "went on"


def test_load_dump_goes_back_again_when_it_is_loaded(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            this.create_dump("here")
            if this.restored and this.restored.why == "script":
                print("RESULT", this.restored.times)
                this.sleep(3600)
            this.load_dump("here", by="name")
        """
    )
    platform.wait_results(execution, 1)
    point = platform.wait_savepoint(execution, "load_dump")
    platform.load(execution, id=str(point.number))
    assert platform.wait_results(execution, 2) == ["1", "3"]
    platform.cancel(execution)


def test_an_answer_is_there_again_when_its_wait_is_loaded(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            message = system.message("How many?", request="number")
            message.wait()
            print("RESULT", message.get("response"))
            this.sleep(3600)
        """
    )
    platform.wait_status(execution, types_pb2.EXECUTION_STATUS_WAITING_MESSAGE)
    shown = snapctl(platform, "message", "ls", "-o", "json").json["messages"]
    (message,) = [one["id"] for one in shown if one["execution_id"] == execution]
    assert snapctl(platform, "message", "answer", message, "-v", "string=7 pieces").exit_code == 0
    assert platform.wait_results(execution, 1) == ["{'string': '7 pieces'}"]
    point = platform.wait_savepoint(execution, "message_wait")
    platform.load(execution, id=str(point.number))
    assert platform.wait_results(execution, 2)[1] == "{'string': '7 pieces'}"
    platform.cancel(execution)


# flowcall's words, and what it prints; at each the shell script stands still in a pipe from it.
FLOWCALLS = [
    ("get flow_name", "shell.sh"),
    ("get input_value", "null"),
    ("log from the shell", ""),
    ("status half done", ""),
    ("set-output key '[1, 2]'", ""),
    ("get output_value", ""),
    ("setting matrix-shell 5", ""),
    ("setting matrix-shell", "5"),
    ("sleep 0.01", ""),
    ("savepoint 'from the shell'", "sp-"),
]


def test_a_shell_script_goes_on_when_it_is_loaded_at_each_flowcall(platform: Platform, tmp_path: Path) -> None:
    lines = [f'echo "RESULT {at} $(flowcall {words})"' for at, (words, _) in enumerate(FLOWCALLS)]
    (tmp_path / "shell.sh").write_text(
        "\n".join([*lines, "flowcall restored || flowcall sleep 3600", "flowcall success ok"])
    )
    started = snapctl(platform, "run", "-o", "json", "--", "bash", str(tmp_path / "shell.sh"))
    execution = started.json["id"]

    def passes(results: list[str], first: int) -> None:
        expected = [f"{at} {printed}".rstrip() for at, (_, printed) in enumerate(FLOWCALLS)][first:]
        assert len(results) == len(expected)
        for seen, wanted in zip(results, expected, strict=True):
            assert seen.startswith(wanted)

    platform.wait_results(execution, len(FLOWCALLS))
    platform.wait_status(execution, types_pb2.EXECUTION_STATUS_SLEEPING)
    passes(platform.results(execution), 0)
    points = [one for one in platform.savepoints(execution) if one.function.startswith("flowcall ")]
    for at, point in enumerate(points[: len(FLOWCALLS)]):
        assert point.function == f"flowcall {FLOWCALLS[at][0].split()[0]}"
        assert (point.file, point.line) == ("/flow/shell.sh", at + 1)
        before = len(platform.results(execution))
        platform.load(execution, id=str(point.number))
        assert platform.wait_ended(execution).message == "ok"
        passes(platform.results(execution)[before:], at)
