"""Loading savepoints: from every status, by every name, undone, refused, and failed."""

from __future__ import annotations

import json
import subprocess

import grpc
import pytest
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import CANCELLED, ERROR, SUCCESS, Platform, containers

COUNTING = """
    def handler(system, this):
        for i in range(4):
            this.create_dump(f"step-{i}" if i != 2 else "step-1")
            print("RESULT", i)
        this.sleep(3600)
    """


def numbers_of(platform: Platform, execution: str, name: str) -> list[int]:
    return [savepoint.number for savepoint in platform.savepoints(execution) if savepoint.name == name]


def test_every_call_leaves_a_savepoint_that_says_where_it_was_taken(platform: Platform) -> None:
    execution = platform.run(
        """
        def inner(this):
            this.log("one")

        def handler(system, this):
            inner(this)
            system.setting("s").exists()
            this.create_dump("named")
            this.success("done")
        """,
        file_name="places.py",
    )
    platform.wait_ended(execution)
    seen = [(s.number, s.call, s.name, s.file, s.line, s.function) for s in platform.savepoints(execution)]
    assert seen == [
        (1, "log", "", "/flow/places.py", 3, "inner"),
        (2, "setting_exists", "", "/flow/places.py", 7, "handler"),
        (3, "create_dump", "named", "/flow/places.py", 8, "handler"),
        (4, "success", "", "/flow/places.py", 9, "handler"),
    ]
    for savepoint in platform.savepoints(execution):
        assert savepoint.raw_bytes > savepoint.stored_bytes > 0
        assert 0 < savepoint.frozen_us <= savepoint.dump_us
    parents = [savepoint.parent_id for savepoint in platform.savepoints(execution)]
    assert parents == ["", *[savepoint.id for savepoint in platform.savepoints(execution)][:-1]]


def test_loads_by_number_by_id_and_by_name_where_the_newest_wins(platform: Platform) -> None:
    execution = platform.run(COUNTING)
    platform.wait_results(execution, 4)
    first, newest = numbers_of(platform, execution, "step-1")
    assert platform.load(execution, name="step-1").savepoint.number == newest
    assert platform.wait_results(execution, 6)[4:] == ["2", "3"]
    assert platform.load(execution, id=str(first)).savepoint.number == first
    assert platform.wait_results(execution, 9)[6:] == ["1", "2", "3"]
    by_id = platform.savepoints(execution)[0]
    assert platform.load(execution, id=by_id.id).savepoint.number == by_id.number
    assert platform.wait_results(execution, 13)[9:] == ["0", "1", "2", "3"]
    platform.cancel(execution)


def test_a_call_is_carried_out_again_on_load_but_what_came_before_is_not(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            counter = system.setting("carried-out")
            counter.save(0)
            this.create_dump("here")
            counter.save(counter.get() + 1)
            print("RESULT", counter.get())
            this.sleep(3600)
        """
    )
    platform.wait_results(execution, 1)
    platform.load(execution, name="here")
    assert platform.wait_results(execution, 2) == ["1", "2"]  # the setting stayed as it was
    platform.cancel(execution)


@pytest.mark.parametrize(
    ("end", "status"), [("this.success('s')", SUCCESS), ("this.error('e')", ERROR), ("1 / 0", ERROR)]
)
def test_an_ended_execution_is_loaded_in_a_new_container(platform: Platform, end: str, status: int) -> None:
    execution = platform.run(
        f"""
        def handler(system, this):
            value = [1]
            this.create_dump("here")
            value.append(system.setting("may-end").exists())
            print("RESULT", value, this.restored is not None)
            if this.restored is None:
                {end}
            this.success("second")
        """
    )
    assert platform.wait_ended(execution).status == status
    platform.wait_until(lambda: f"flowsnap-{execution}" not in containers(platform.data_dir))
    platform.load(execution, name="here")
    platform.wait_until(lambda: platform.get(execution).message == "second", execution)
    ended = platform.wait_ended(execution)
    assert (ended.status, ended.branch, ended.load_count) == (SUCCESS, 2, 1)
    assert platform.results(execution) == ["[1, False] False", "[1, False] True"]


def test_a_cancelled_execution_can_be_loaded(platform: Platform) -> None:
    execution = platform.run(COUNTING)
    platform.wait_results(execution, 4)
    platform.cancel(execution)
    assert platform.get(execution).status == CANCELLED
    platform.load(execution, name="step-3")
    platform.wait_results(execution, 5)
    platform.cancel(execution)


def test_pausing_stops_the_program_and_resuming_goes_on(platform: Platform) -> None:
    execution = platform.run(
        """
        import time

        def handler(system, this):
            for i in range(100000):
                time.sleep(0.01)
                print("RESULT", i)
        """
    )
    platform.wait_results(execution, 3)
    platform.executions.PauseExecution(pb.PauseExecutionRequest(execution=execution), timeout=30)
    assert platform.get(execution).status == types_pb2.EXECUTION_STATUS_PAUSED
    kinds = [savepoint.kind for savepoint in platform.savepoints(execution)]
    assert kinds == [types_pb2.SAVEPOINT_KIND_PAUSE]
    with pytest.raises(grpc.RpcError) as refused:
        platform.executions.PauseExecution(pb.PauseExecutionRequest(execution=execution), timeout=30)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    before = len(platform.results(execution))
    platform.executions.ResumeExecution(pb.ResumeExecutionRequest(execution=execution), timeout=30)
    platform.wait_results(execution, before + 3)
    assert platform.get(execution).status == types_pb2.EXECUTION_STATUS_RUNNING
    platform.cancel(execution)
    results = [int(result) for result in platform.results(execution)]
    assert results == list(range(len(results)))


def test_a_paused_execution_is_loaded_and_runs(platform: Platform) -> None:
    execution = platform.run(COUNTING)
    platform.wait_results(execution, 4)
    platform.executions.PauseExecution(pb.PauseExecutionRequest(execution=execution), timeout=30)
    platform.load(execution, name="step-3")
    assert platform.wait_results(execution, 5)[4:] == ["3"]
    platform.cancel(execution)


def test_an_operator_takes_a_savepoint_in_the_middle_of_a_computation(platform: Platform) -> None:
    execution = platform.run(
        """
        import time

        def handler(system, this):
            total = 0
            for i in range(200):
                total += i
                time.sleep(0.01)
            print("RESULT", total)
            this.sleep(3600)
        """
    )
    platform.wait_status(execution, types_pb2.EXECUTION_STATUS_RUNNING)
    taken = platform.create_savepoint(execution, "middle")
    assert (taken.kind, taken.name, taken.call) == (types_pb2.SAVEPOINT_KIND_OPERATOR, "middle", "")
    platform.wait_results(execution, 1)
    platform.load(execution, name="middle")
    assert platform.wait_results(execution, 2) == ["19900", "19900"]
    platform.cancel(execution)


def test_undo_brings_back_the_state_before_the_load(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            seen = []
            for i in range(3):
                this.create_dump(f"step-{i}")
                seen.append(i)
            this.sleep(0.2)
            while True:
                print("RESULT", seen)
                this.sleep(3600)
        """
    )
    platform.wait_results(execution, 1)
    platform.wait_status(execution, types_pb2.EXECUTION_STATUS_SLEEPING)
    loaded = platform.load(execution, name="step-0")
    assert loaded.before.id
    platform.wait_results(execution, 2)
    undone = platform.undo(execution)
    assert undone.undone.name == "step-0"
    assert undone.savepoint.id == loaded.before.id
    assert platform.get(execution).branch == 3
    with pytest.raises(grpc.RpcError) as refused:
        platform.undo(execution)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    platform.cancel(execution)


def test_undo_of_a_load_of_an_ended_execution_ends_it_again_as_it_was(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            this.set_output("kept", 1)
            this.create_dump("here")
            if this.restored is None:
                this.set_output("more", 2)
                this.success("the first end")
            this.sleep(3600)
        """
    )
    before = platform.wait_ended(execution)
    platform.load(execution, name="here")
    platform.wait_status(execution, types_pb2.EXECUTION_STATUS_SLEEPING)
    assert platform.output(execution) == {"kept": 1}  # the output goes back with a load
    undone = platform.undo(execution).execution
    assert undone.status == SUCCESS
    assert undone.message == "the first end"
    assert undone.ended_at == before.ended_at
    assert json.loads(undone.output_value_json) == {"kept": 1, "more": 2}


def test_a_script_goes_back_by_itself_and_sees_that_it_did(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            number = this.create_dump("again")
            times = this.restored.times if this.restored else 0
            print("RESULT", times, this.restored and this.restored.why)
            if times < 3:
                this.load_dump("again", by="name")
            this.success("went back three times")
        """
    )
    assert platform.wait_ended(execution).message == "went back three times"
    assert platform.results(execution) == ["0 None", "1 script", "2 script", "3 script"]
    assert sum("loaded savepoint" in line for line in platform.log(execution, "system")) == 3


def test_load_dump_takes_a_number_and_the_id_that_create_dump_gave(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            mine = this.create_dump()
            if this.restored is None:
                this.load_dump(mine)
            if this.restored.times == 1:
                this.load_dump(1)
            this.success(f"{this.restored.times} {this.restored.savepoint}")
        """
    )
    assert platform.wait_ended(execution).message == "2 1"


def test_load_dump_past_max_times_raises_in_the_script(platform: Platform) -> None:
    execution = platform.run(
        """
        import flow_api

        def handler(system, this):
            this.create_dump("loop")
            try:
                this.load_dump("loop", by="name", max_times=2)
            except flow_api.SavepointLoopError as error:
                this.success(str(error))
        """
    )
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS
    assert ended.load_count == 2
    assert "2" in ended.message


def test_load_dump_of_an_unknown_savepoint_raises_in_the_script(platform: Platform) -> None:
    execution = platform.run(
        """
        import flow_api

        def handler(system, this):
            try:
                this.load_dump("never-made", by="name")
            except flow_api.ResourceNotFoundError as error:
                this.success(str(error))
        """
    )
    assert "never-made" in platform.wait_ended(execution).message


def test_a_dry_run_says_what_would_happen_and_changes_nothing(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            this.create_dump("here")
            this.log("repeated")
            this.log("left behind")
            print("RESULT")
            this.sleep(3600)
        """
    )
    platform.wait_until(lambda: len(platform.savepoints(execution)) == 4, execution)
    before = platform.get(execution)
    answer = platform.load(execution, id="2", dry_run=True)
    assert (answer.savepoint.number, answer.left_behind, list(answer.repeated_calls)) == (2, 2, ["log"])
    assert list(platform.load(execution, name="here", dry_run=True).repeated_calls) == []
    assert platform.get(execution) == before
    platform.cancel(execution)


def test_what_a_call_did_to_the_output_is_not_there_twice_after_a_load_at_that_call(platform: Platform) -> None:
    execution = platform.run(
        """
        async def handler(system, this):
            this.log("first")
            this.set_output("list", [1])
            this.log("second")
            for i in range(20):
                this.set_output("number", i)
            print("RESULT", len(this.get("output_value")["logging"]), this.get("output_value")["number"])
            this.sleep(3600)
        """
    )
    platform.wait_results(execution, 1)
    for number in (1, 2, 3):
        platform.load(execution, id=str(number))
        assert platform.wait_results(execution, number + 1)[-1] == "2 19"
    assert [s.call for s in platform.savepoints(execution)[3:5]] == ["set_output"] * 2
    loaded = json.loads(platform.load(execution, id="5").execution.output_value_json)
    assert loaded["number"] == 0  # not what the call of the savepoint, or the one after it, made of it
    platform.cancel(execution)


def test_an_unknown_savepoint_is_refused_and_the_execution_goes_on(platform: Platform) -> None:
    execution = platform.run(COUNTING)
    platform.wait_results(execution, 4)
    for selector in ({"name": "no such name"}, {"id": "999"}, {"id": "sp-unknown"}):
        with pytest.raises(grpc.RpcError) as refused:
            platform.load(execution, **selector)
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    platform.load(execution, name="step-3")
    platform.wait_results(execution, 5)
    platform.cancel(execution)


def test_a_savepoint_of_another_execution_is_refused(platform: Platform) -> None:
    one, other = platform.run(COUNTING), platform.run(COUNTING)
    platform.wait_results(one, 4)
    platform.wait_results(other, 4)
    foreign = platform.savepoints(other)[0]
    with pytest.raises(grpc.RpcError) as refused:
        platform.load(one, id=foreign.id)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert other in refused.value.details()
    assert platform.get(one).branch == 1
    platform.cancel(one)
    platform.cancel(other)


def test_the_log_is_never_cut_and_marks_the_load(platform: Platform) -> None:
    execution = platform.run(COUNTING)
    platform.wait_results(execution, 4)
    before = platform.log(execution)
    platform.load(execution, name="step-3")
    platform.wait_results(execution, 5)
    after = platform.log(execution)
    assert after[: len(before)] == before
    assert any("loaded savepoint" in line and "step-3" in line for line in platform.log(execution, "system"))
    platform.cancel(execution)


def test_a_damaged_savepoint_image_is_refused_and_the_execution_goes_on(own_platform: Platform) -> None:
    execution = own_platform.run(COUNTING)
    own_platform.wait_results(execution, 4)
    packs = sorted((own_platform.data_dir / "store").rglob("*.pack"), key=lambda path: path.stat().st_size)
    damaged = packs[-1]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    before = own_platform.get(execution)
    with pytest.raises(grpc.RpcError) as refused:
        own_platform.load(execution, id="1")
    assert refused.value.code() == grpc.StatusCode.DATA_LOSS
    assert damaged.stem[:8] in refused.value.details()
    after = own_platform.get(execution)
    assert (after.status, after.branch, after.message) == (before.status, before.branch, before.message)
    own_platform.cancel(execution)


def test_a_load_that_criu_refuses_leaves_the_program_running_and_shows_its_words(platform: Platform) -> None:
    """A mapped file of the container image is replaced by one of another size: CRIU refuses, in its own words."""
    execution = platform.run(
        """
        import time

        def handler(system, this):
            this.create_dump("here")
            for i in range(100000):
                time.sleep(0.05)
                print("RESULT", i)
        """
    )
    platform.wait_results(execution, 2)
    container = f"flowsnap-{execution}"
    _in_container(container, "mv /usr/lib/python3.13/lib-dynload /usr/lib/python3.13/lib-dynload.away")
    _in_container(
        container, "mv /usr/bin/python3.13 /usr/bin/python3.13.away; head -c 100 /bin/true > /usr/bin/python3.13"
    )
    with pytest.raises(grpc.RpcError) as refused:
        platform.load(execution, name="here")
    assert refused.value.code() == grpc.StatusCode.INTERNAL
    assert "python3.13" in refused.value.details()
    assert "Error" in refused.value.details()
    assert platform.get(execution).branch == 1
    count = len(platform.results(execution))
    platform.wait_results(execution, count + 3)
    results = [int(result) for result in platform.results(execution)]
    assert results == list(range(len(results)))
    _in_container(container, "rm /usr/bin/python3.13; mv /usr/bin/python3.13.away /usr/bin/python3.13")
    _in_container(container, "mv /usr/lib/python3.13/lib-dynload.away /usr/lib/python3.13/lib-dynload")
    platform.load(execution, name="here")
    platform.wait_until(lambda: platform.results(execution).count("0") == 2, execution)
    platform.cancel(execution)


def _in_container(container: str, command: str) -> None:
    subprocess.run(["docker", "exec", container, "sh", "-c", command], check=True)


def test_a_program_that_had_to_go_for_its_port_is_back_when_the_load_fails_all_the_same(platform: Platform) -> None:
    """Two trees can't listen on one port, so the old one goes first; here somebody else has taken the port as well."""
    execution = platform.run(
        """
        import socket, time

        def handler(system, this):
            server = socket.create_server(("127.0.0.1", 18090))
            this.create_dump("listening")
            server.close()
            for i in range(100000):
                time.sleep(0.05)
                print("RESULT", i)
        """
    )
    platform.wait_results(execution, 2)
    squatter = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 18090)); print('on', flush=True); time.sleep(60)"
    )
    command = ["docker", "exec", f"flowsnap-{execution}", "python3", "-c", squatter]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"on\n"
        with pytest.raises(grpc.RpcError) as refused:
            platform.load(execution, name="listening")
        assert "Address already in use" in refused.value.details()
        assert platform.get(execution).branch == 1
        count = len(platform.results(execution))
        results = [int(result) for result in platform.wait_results(execution, count + 3)]
        assert results == list(range(len(results)))
        platform.cancel(execution)
