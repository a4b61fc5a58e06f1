"""Child executions: started, waited for, failed, loaded, cancelled, and nested."""

from __future__ import annotations

import json
import sqlite3
import textwrap
from pathlib import Path

import pytest
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import CANCELLED, ERROR, SUCCESS, Platform, running_platform, status_name

ECHO = """
    def handler(system, this):
        this.set_output("echo", this.get("input_value"))
        this.success("echoed")
    """
FAILING = """
    def handler(system, this):
        this.error("no bread")
    """
WAITING = """
    def handler(system, this):
        this.sleep(3600)
    """


@pytest.fixture(scope="module", autouse=True)
def flows(platform: Platform) -> None:
    platform.push("echo", ECHO)
    platform.push("failing", FAILING)
    platform.push("waiting", WAITING)


def children(platform: Platform, execution: str) -> list[types_pb2.Execution]:
    return list(platform.executions.GetExecution(pb.GetExecutionRequest(execution=execution), timeout=10).children)


def test_a_flow_is_run_as_a_child_and_answers_its_output(platform: Platform) -> None:
    parent = platform.run(
        """
        def handler(system, this):
            child = this.flow("echo", {"a": 1}, name="my child", b="zwei")
            this.save(output_value=[child.get("output_value"), *child.get("name", "type", "status", "message")])
        """
    )
    assert platform.wait_ended(parent).status == SUCCESS
    echoed = [{"echo": {"a": 1, "b": "zwei"}}, "my child", "FLOW", "ENDED_SUCCESS", "echoed"]
    assert platform.output(parent) == echoed
    (child,) = children(platform, parent)
    assert (child.name, child.parent_id, child.flow_name) == ("my child", parent, "echo")


def test_children_run_at_the_same_time_when_they_are_not_waited_for(platform: Platform) -> None:
    meeting = """
        def handler(system, this):
            mine, other = this.get("input_value")
            system.setting(mine).save(True)
            while not system.setting(other).exists():
                this.sleep(0.05)
            this.set_output("met", other)
        """
    parent = platform.run(
        """
        def handler(system, this):
            text = this.get("input_value")
            a = this.script(text, ["meet-a", "meet-b"], wait=False)
            b = this.script(text, ["meet-b", "meet-a"], wait=False)
            ended = this.wait_for(a, b)
            this.save(output_value=[[one.get("type"), one.get("output_value")] for one in ended])
        """,
        textwrap.dedent(meeting),
    )
    ended = platform.wait_ended(parent)
    assert ended.status == SUCCESS, ended.message
    assert platform.output(parent) == [["SCRIPT", {"met": "meet-b"}], ["SCRIPT", {"met": "meet-a"}]]


def test_a_parent_shows_that_it_waits_for_a_child_until_that_is_cancelled(platform: Platform) -> None:
    parent = platform.run(
        """
        import flow_api

        def handler(system, this):
            try:
                this.flow("waiting")
            except flow_api.DependencyFailedError as error:
                this.success(error)
        """
    )
    platform.wait_status(parent, types_pb2.EXECUTION_STATUS_WAITING_CHILD)
    platform.wait_until(lambda: children(platform, parent), parent)
    (child,) = children(platform, parent)
    platform.wait_status(child.id, types_pb2.EXECUTION_STATUS_SLEEPING)
    platform.cancel(child.id)
    assert (
        platform.wait_ended(parent).message == f"execution '{child.name}' ({child.id}) ended with ENDED_CANCELLED: test"
    )


def test_a_failed_child_raises_in_its_parent_unless_only_the_end_was_awaited(platform: Platform) -> None:
    parent = platform.run(
        """
        import flow_api

        def handler(system, this):
            seen = []
            try:
                this.flow("failing")
            except flow_api.CloudomationException as error:
                seen.append([type(error).__name__, str(error).partition(" ended ")[2]])
            child = this.flow("failing", wait=system.return_when.ALL_ENDED)
            seen.append(child.get("status", "message"))
            child = this.flow("failing", wait=False)
            child.wait(system.return_when.ALL_ENDED)
            seen.append(child.get("status"))
            try:
                child.wait()
            except flow_api.DependencyFailedError as error:
                seen.append(str(error).endswith("no bread"))
            this.save(output_value=seen)
        """
    )
    ended = platform.wait_ended(parent)
    assert ended.status == SUCCESS, ended.message
    assert platform.output(parent) == [
        ["DependencyFailedError", "with ENDED_ERROR: no bread"],
        ["ENDED_ERROR", "no bread"],
        "ENDED_ERROR",
        True,
    ]


def test_first_ended_returns_with_those_that_ended_and_a_timeout_names_those_that_did_not(platform: Platform) -> None:
    parent = platform.run(
        """
        import flow_api

        def handler(system, this):
            slow, quick = this.flow("waiting", wait=False, name="slow one"), this.flow("echo", wait=False)
            ended = this.wait_for([slow, quick], return_when=system.return_when.FIRST_ENDED)
            seen = [len(ended), ended[0].get("id") == quick.get("id"), slow.load("status") == "ENDED_SUCCESS"]
            try:
                slow.wait(timeout=0.1)
            except flow_api.DependencyTimeoutError as error:
                seen.append("slow one" in str(error))
            slow.cancel("enough")
            seen.append(slow.load("status", "message"))
            this.save(output_value=seen)
        """
    )
    ended = platform.wait_ended(parent)
    assert ended.status == SUCCESS, ended.message
    assert platform.output(parent) == [1, True, False, True, ["ENDED_CANCELLED", "enough"]]


def test_children_are_made_first_and_started_later_when_asked_for(platform: Platform) -> None:
    parent = platform.run(
        """
        import flow_api

        def handler(system, this):
            held = this.flow("echo", 1, run=False)
            seen = [held.get("status"), held.get("input_value")]
            try:
                held.wait()
            except flow_api.InvalidInputError as error:
                seen.append("run()" in str(error))
            held.save(input_value=2, name="renamed")
            seen += [held.run().get("output_value"), held.load("name")]
            template = this.flow("echo", {"n": 0}, save=False)
            clones = [template.clone(inputs={"n": n}, name=f"clone {n}").run_async() for n in (1, 2)]
            seen += [one.get("output_value")["echo"]["n"] for one in this.wait_for(clones)]
            seen.append(template.run().get("output_value"))
            this.save(output_value=seen)
        """
    )
    ended = platform.wait_ended(parent)
    assert ended.status == SUCCESS, ended.message
    assert platform.output(parent) == ["NEW", 1, True, {"echo": 2}, "renamed", 1, 2, {"echo": {"n": 0}}]
    assert len(children(platform, parent)) == 4


def test_a_connectors_call_is_a_child_of_type_task_and_raises_its_own_error(platform: Platform) -> None:
    platform.connect("numbers", "SQLITE", path=str(platform.data_dir / "numbers.db"))
    sqlite3.connect(platform.data_dir / "numbers.db").close()
    parent = platform.run(
        """
        import flow_api

        def handler(system, this):
            child = this.connect("numbers", fetchval="SELECT 6 * 7")
            seen = [child.get("output_value"), *child.get("type", "name", "status")]
            later = this.connect("numbers", fetchval="SELECT 1", run=False)
            seen.append(later.run().get("output_value"))
            for inputs in ({"fetchval": "SELECT nonsense"}, {"nonsense": 1}, {}):
                try:
                    this.connect("numbers", **inputs)
                except flow_api.CloudomationException as error:
                    seen.append(type(error).__name__)
            try:
                this.task("NOSUCH")
            except flow_api.ResourceNotFoundError as error:
                seen.append("NOSUCH" in str(error))
            this.save(output_value=seen)
        """
    )
    ended = platform.wait_ended(parent)
    assert ended.status == SUCCESS, ended.message
    assert platform.output(parent) == [
        *({"result": 42}, "TASK", "numbers", "ENDED_SUCCESS", {"result": 1}),
        *("ConnectorError", "ExtraInputError", "MissingInputError", True),
    ]
    tasks = children(platform, parent)
    assert [status_name(task.status) for task in tasks] == ["ENDED_SUCCESS"] * 2 + ["ENDED_ERROR"] * 3
    assert json.loads(tasks[0].input_value_json) == {"fetchval": "SELECT 6 * 7"}
    listed = platform.executions.ListExecutions(pb.ListExecutionsRequest(page_size=1000), timeout=10).executions
    assert tasks[0].id not in [one.id for one in listed]


def test_a_loaded_parent_starts_its_later_children_anew_and_the_old_ones_stay(platform: Platform) -> None:
    parent = platform.run(
        """
        def handler(system, this):
            first = this.flow("echo", "first")
            this.create_dump("between")
            second = this.flow("echo", "second")
            print("RESULT", first.get("id"), second.get("id"))
            this.sleep(3600)
        """
    )
    platform.wait_results(parent, 1)
    platform.load(parent, name="between")
    before, after = (line.split() for line in platform.wait_results(parent, 2))
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert [child.id for child in children(platform, parent)] == [*before, after[1]]
    platform.cancel(parent)


def test_a_load_at_the_call_that_waits_starts_another_child_while_the_old_one_goes_on(platform: Platform) -> None:
    parent = platform.run(
        """
        def handler(system, this):
            this.flow("waiting")
        """
    )
    platform.wait_status(parent, types_pb2.EXECUTION_STATUS_WAITING_CHILD)
    platform.wait_until(lambda: platform.savepoints(parent), parent)
    platform.load(parent, id="1")
    platform.wait_until(lambda: len(children(platform, parent)) == 2, parent)
    old, new = children(platform, parent)
    platform.wait_status(new.id, types_pb2.EXECUTION_STATUS_SLEEPING)
    platform.wait_status(old.id, types_pb2.EXECUTION_STATUS_SLEEPING)
    platform.wait_status(parent, types_pb2.EXECUTION_STATUS_WAITING_CHILD)
    platform.cancel(parent)
    for child in (old, new):
        assert platform.get(child.id).status == CANCELLED


def test_a_cancelled_parent_takes_its_children_with_it(platform: Platform) -> None:
    platform.push("nested", 'def handler(system, this):\n    this.flow("waiting")\n')
    parent = platform.run(
        """
        def handler(system, this):
            this.flow("waiting", run=False)
            this.flow("nested", wait=False)
            this.cancel("not today")
        """
    )
    ended = platform.wait_ended(parent)
    assert (ended.status, ended.message) == (CANCELLED, "not today")
    for child in children(platform, parent):
        platform.wait_status(child.id, CANCELLED)
        assert platform.get(child.id).message == f"its parent '{ended.name}' was cancelled"


def test_a_flow_that_starts_itself_is_stopped_by_the_limit_of_nesting(tmp_path: Path) -> None:
    with running_platform(tmp_path / "data", "--depth-limit", "3") as platform:
        platform.push("cyclic", 'def handler(system, this):\n    this.flow("cyclic")\n')
        ended = platform.wait_ended(platform.run("", flow="cyclic"))
        assert ended.status == ERROR
        assert "InvalidInputError: cyclic: child executions would be nested 4 deep, the limit is 3" in ended.message
        assert "does a flow start itself?" in ended.message
        assert len(platform.executions.ListExecutions(pb.ListExecutionsRequest(), timeout=10).executions) == 4


def test_a_waiting_parent_finds_its_child_again_when_the_controller_was_restarted(own_platform: Platform) -> None:
    own_platform.push("waiting", WAITING)
    parent = own_platform.run(
        """
        def handler(system, this):
            child = this.flow("waiting", wait=system.return_when.ALL_ENDED)
            this.success(child.get("status"))
        """
    )
    own_platform.wait_until(lambda: children(own_platform, parent), parent)
    (child,) = children(own_platform, parent)
    own_platform.wait_status(child.id, types_pb2.EXECUTION_STATUS_SLEEPING)
    own_platform.kill_controller()
    own_platform.start()
    own_platform.cancel(child.id)
    assert own_platform.wait_ended(parent).message == "ENDED_CANCELLED"
    assert len(children(own_platform, parent)) == 1


def test_a_child_is_saved_and_loaded_by_its_parent(platform: Platform) -> None:
    twice = """
        def handler(system, this):
            this.create_dump("here")
            if this.restored is None:
                this.error("first")
            this.success("second")
        """
    parent = platform.run(
        """
        def handler(system, this):
            child = this.script(this.get("input_value"), wait=system.return_when.ALL_ENDED)
            seen = [child.get("message"), [point["name"] for point in child.savepoints()]]
            child.load_dump("here", by="name")
            seen.append(child.wait().get("message"))
            this.save(output_value=seen)
        """,
        textwrap.dedent(twice),
    )
    ended = platform.wait_ended(parent)
    assert ended.status == SUCCESS, ended.message
    assert platform.output(parent) == ["first", ["here", ""], "second"]
