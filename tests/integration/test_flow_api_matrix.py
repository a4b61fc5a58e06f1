"""Every call of the Flow-API, twice: carried out, and carried out again by a load of its own savepoint.

Each case is a script in two parts, what comes before and the call as an expression, and what that gives.
"""

from __future__ import annotations

import re
import sqlite3
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import CANCELLED, ERROR, SUCCESS, Platform

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


CASES = [
    Case("get", "this.get('flow_name')", "'flow.py'"),
    Case("get", "this.get('type', 'message')", "('FLOW', 'hi')", "this.save(message='hi')", "('FLOW', '')"),
    Case("load", "this.load('output_value')", "{'k': 1}", "this.set_output(k=1)"),
    Case("save", "this.save(message='m', output_value=[1]).get('message', 'output_value')", "('m', [1])"),
    Case("save", "this.set(message='kept').save().get('message')", "'kept'"),
    Case("set_output", "this.set_output('k', 1).get('output_value')", "{'k': 1}"),
    Case("log", "this.log('a', b=2)", "None"),
    Case("sleep", "this.sleep(0.01)", "None"),
    Case("sleep_until", "this.sleep_until(0)", "None"),
    Case("flow", "this.flow('matrix-echo', 1).get('output_value')", "1"),
    Case("flow", "this.flow('matrix-echo', {'a': 1}, b=2).get('output_value')", "{'a': 1, 'b': 2}"),
    Case("flow", "this.flow('matrix-echo', run=False).get('type')", "'FLOW'"),
    Case("flow", "this.flow('matrix-echo', 7, save=False).clone(name='c').run().get('name')", "'c'"),
    Case("script", f"this.script({_ECHO!r}, 'in').get('output_value', 'type')", "('in', 'SCRIPT')"),
    Case("connect", "this.connect('matrix', fetchval='SELECT 6 * 7').get('output_value')['result']", "42"),
    # Signing an address asks no server.
    Case("task", f"this.task('S3', {_SIGN}).get('type', 'status')", "('TASK', 'ENDED_SUCCESS')"),
    Case("run", "child.run().get('output_value')", "1", "child = this.flow('matrix-echo', 1, run=False)"),
    Case(
        "wait_for",
        "[one.get('status') for one in this.wait_for(child, return_when=system.return_when.ALL_ENDED)]",
        "['ENDED_SUCCESS']",
        _child(_ECHO),
    ),
    Case("wait_for", "child.wait().get('output_value')", "None", _child(_ECHO)),
    Case("cancel", "child.cancel() and child.load('status')", "'ENDED_CANCELLED'", _child(_LEFT)),
    Case("savepoints", "[point['name'] for point in this.savepoints()][0]", "'first'", "this.create_dump('first')"),
    Case("take_savepoint", "child.create_dump('its own')[:3]", "'sp-'", _child(_LEFT) + _ASLEEP),
    Case(
        "pause",
        "child.pause() and child.load('status')",
        "'PAUSED'",
        _child(_LEFT) + _ASLEEP,
        "InternalError",
    ),
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
    Case("message_send", "system.message('subject', message='text').get('status')", "'OPEN'"),
]


@pytest.fixture(scope="module", autouse=True)
def prepared(platform: Platform) -> None:
    platform.push("matrix-echo", _ECHO)
    path = str(platform.data_dir / "matrix.db")
    sqlite3.connect(path).close()
    platform.connect("matrix", "SQLITE", path=path)


def script_of(case: Case) -> str:
    return _SCRIPT.format(before=case.before, call=f"attempt(lambda: {case.call})") + textwrap.dedent(
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


# Those that end or stop the execution, or wait for somebody else, stand in the tests below and in those of messages.
ELSEWHERE = {"success", "error", "load_dump", "resume", "load_savepoint"} | {
    *("message_get", "message_wait", "message_delete", "message_list"),
    *("setting_show", "setting_list", "file_show", "file_list"),
}


def test_the_matrix_has_every_call_of_the_library() -> None:
    library = Path(flow_api.__file__).parent
    made = {
        name
        for module in library.glob("*.py")
        for name in re.findall(r"(?:\bcall|_child|_read|listed)\((?:[\w.]+, )?\"(\w+)\"", module.read_text())
    }
    assert {"flow", "get", "setting_get", "execution_list"} <= made
    assert made - {case.name for case in CASES} - ELSEWHERE == set()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_call_gives_the_documented_result_when_it_is_carried_out_and_when_it_is_loaded(
    platform: Platform, case: Case
) -> None:
    execution = platform.run(script_of(case))
    assert platform.wait_results(execution, 1) == [shown(case.gives)]
    lambda_line = "handler.<locals>.<lambda>"
    (point, *_) = [
        one for one in platform.savepoints(execution) if one.call == case.name and one.function == lambda_line
    ]
    platform.load(execution, id=str(point.number))
    assert platform.wait_results(execution, 2)[1] == shown(case.loaded or case.gives)
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
    (point, *_) = [one for one in platform.savepoints(execution) if one.call == "load_dump"]
    platform.load(execution, id=str(point.number))
    assert platform.wait_results(execution, 2) == ["1", "3"]
    platform.cancel(execution)
