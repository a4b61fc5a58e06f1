"""Forks: from every status, beside the original, with random numbers of their own, and what comes when one fails."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import grpc
import pytest
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import ERROR, SUCCESS, Platform

ROOT = Path(__file__).parents[2]

STEPS = """
    def handler(system, this):
        seen = []
        for step in range(3):
            this.create_dump(f"step-{step}")
            seen.append(step)
            origin = this.forked_from
            print("RESULT", seen, this.get("input_value"), origin and (origin.savepoint, origin.name, origin.index))
        this.sleep(3600)
    """


def test_a_fork_goes_on_from_the_savepoint_while_the_original_is_untouched(platform: Platform) -> None:
    original = platform.run(STEPS, {"who": "original", "kept": 1})
    platform.wait_until(lambda: "sleep" in [one.call for one in platform.savepoints(original)], original)
    before, number = platform.get(original), len(platform.savepoints(original))

    first, second = platform.fork(original, name="step-1", count=2, value={"who": "fork"})

    for index, fork in enumerate((first, second)):
        merged = {"who": "fork", "kept": 1}
        assert platform.wait_results(fork, 2) == [
            f"[0, 1] {merged} (3, 'step-1', {index})",
            f"[0, 1, 2] {merged} (3, 'step-1', {index})",
        ]
        record = platform.get(fork)
        (savepoint,) = [one for one in platform.savepoints(original) if one.name == "step-1"]
        assert (record.branch, record.load_count, record.forked_from) == (
            1,
            0,
            types_pb2.ForkedFrom(
                execution_id=original, savepoint_id=savepoint.id, savepoint=3, name="step-1", index=index
            ),
        )
        own = platform.savepoints(fork)
        assert (own[0].number, own[0].name, own[0].call, own[0].line) == (1, "step-1", "create_dump", savepoint.line)
        assert [one.parent_id for one in own] == ["", *[one.id for one in own][:-1]]
    assert platform.get(original) == before
    assert len(platform.savepoints(original)) == number
    for execution in (original, first, second):
        platform.cancel(execution)


def test_a_fork_is_made_of_a_paused_and_of_an_ended_execution(platform: Platform) -> None:
    original = platform.run(
        """
        def handler(system, this):
            this.set_output("before", 1)
            this.create_dump("here")
            this.set_output("after", this.forked_from is not None)
            this.sleep(0 if this.forked_from else 3600)
            this.success("done")
        """
    )
    platform.wait_status(original, types_pb2.EXECUTION_STATUS_SLEEPING)
    platform.executions.PauseExecution(pb.PauseExecutionRequest(execution=original), timeout=60)
    (of_paused,) = platform.fork(original, name="here")
    assert platform.wait_ended(of_paused).status == SUCCESS
    assert platform.output(of_paused) == {"before": 1, "after": True}
    assert platform.get(original).status == types_pb2.EXECUTION_STATUS_PAUSED
    platform.cancel(original)
    (of_ended,) = platform.fork(original, name="here")
    assert platform.wait_ended(of_ended).status == SUCCESS


def test_a_fork_outlives_its_original_and_is_loaded_and_forked_itself(platform: Platform) -> None:
    original = platform.run(STEPS)
    platform.wait_results(original, 3)
    (fork,) = platform.fork(original, name="step-0")
    platform.executions.DeleteExecution(pb.DeleteExecutionRequest(execution=original, force=True), timeout=60)
    platform.system.CollectGarbage(pb.CollectGarbageRequest(), timeout=60)
    platform.wait_results(fork, 3)
    platform.load(fork, name="step-0")
    results = platform.wait_results(fork, 6)
    assert results[3:] == ["[0] None (1, 'step-0', 0)", *results[1:3]]
    (grandchild,) = platform.fork(fork, id="1")
    platform.wait_results(grandchild, 3)
    assert platform.get(grandchild).forked_from.execution_id == fork
    platform.cancel(fork)
    platform.cancel(grandchild)


RANDOM = """
    import os, random, secrets, ssl, threading, uuid

    import numpy

    def numbers():
        return [
            random.random(), random.getrandbits(64), os.urandom(8).hex(), str(uuid.uuid4()), secrets.token_hex(8),
            ssl.RAND_bytes(8).hex(), numpy.random.random(),
        ]

    def handler(system, this):
        random.seed(1)
        numpy.random.seed(1)
        drawn = {}
        begun, woken = threading.Event(), threading.Event()

        def draw():
            # OpenSSL has a generator for each thread.
            drawn["before"] = numbers()
            begun.set()
            woken.wait()
            drawn["thread"] = numbers()

        thread = threading.Thread(target=draw)
        thread.start()
        begun.wait()
        numbers()
        this.create_dump("here")
        drawn["main"] = numbers()
        woken.set()
        thread.join()
        this.set_output("drawn", drawn)
        this.sleep(0 if this.forked_from else 3600)
        this.create_dump("later")
        this.set_output("again", random.random())
    """


def test_no_two_forks_of_a_savepoint_draw_the_same_random_numbers(platform: Platform) -> None:
    image = os.environ.get("FLOWSNAP_TEST_IMAGE", "flowsnap/execution")
    subprocess.run([ROOT / "scripts" / "image", "--testing"], check=True, capture_output=True)
    original = platform.run(RANDOM, container_image=f"{image}-testing")
    platform.wait_status(original, types_pb2.EXECUTION_STATUS_SLEEPING)
    forks = platform.fork(original, name="here", count=3)
    drawn = [platform.output(original)["drawn"]]
    for fork in forks:
        assert platform.wait_ended(fork).status == SUCCESS, platform.get(fork).message
        drawn.append(platform.output(fork)["drawn"])
    assert all(one["before"] == drawn[0]["before"] for one in drawn)
    for where in ("main", "thread"):
        for kind in zip(*(one[where] for one in drawn), strict=True):
            assert len(set(kind)) == len(drawn), (where, kind)
    # A load within a fork is a load: what was seeded before it stays.
    again = platform.output(forks[0])["again"]
    platform.load(forks[0], name="later")
    assert platform.wait_ended(forks[0]).status == SUCCESS
    assert platform.output(forks[0])["again"] == again
    platform.cancel(original)


def test_the_call_of_the_savepoint_is_carried_out_anew(platform: Platform) -> None:
    original = platform.run(
        """
        def handler(system, this):
            child = this.script("def handler(system, this): this.success(this.get('name'))", name="child")
            this.success(child.get("id"))
        """
    )
    children = {platform.wait_ended(original).message}
    (making,) = [one for one in platform.savepoints(original) if one.call == "script"]
    for fork in platform.fork(original, id=str(making.number), count=2):
        child = platform.wait_ended(fork).message
        assert platform.get(child).parent_id == fork
        children.add(child)
    assert len(children) == 3


def test_a_fork_ends_with_crius_words_when_it_can_t_be_restored(own_platform: Platform) -> None:
    original = own_platform.run(STEPS)
    own_platform.wait_results(original, 3)
    for pack in (own_platform.data_dir / "store" / "packs").iterdir():
        content = bytearray(pack.read_bytes())
        content[len(content) // 3] ^= 0xFF
        pack.write_bytes(content)
    (fork,) = own_platform.fork(original, name="step-0")
    ended = own_platform.wait_ended(fork)
    assert ended.status == ERROR
    assert "none of its savepoints can be restored" in ended.message
    own_platform.cancel(original)


def test_a_fork_is_refused_when_it_can_t_be_made(platform: Platform) -> None:
    original = platform.run(STEPS, [1])
    platform.wait_results(original, 3)
    for fields, code, words in (
        ({"name": "nowhere"}, grpc.StatusCode.NOT_FOUND, "no savepoint named 'nowhere'"),
        ({"id": "99"}, grpc.StatusCode.NOT_FOUND, "99"),
        ({"count": 101}, grpc.StatusCode.INVALID_ARGUMENT, "101 forks"),
        ({"value": {"a": 1}}, grpc.StatusCode.INVALID_ARGUMENT, "both are JSON objects"),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            platform.fork(original, **fields)
        assert refused.value.code() is code
        assert words in refused.value.details()
    listed = platform.executions.ListExecutions(pb.ListExecutionsRequest(), timeout=10).executions
    assert not [one for one in listed if one.forked_from.execution_id == original]
    platform.cancel(original)


def test_forks_that_were_only_recorded_are_restored_by_the_next_controller(own_platform: Platform) -> None:
    original = own_platform.run(STEPS)
    own_platform.wait_results(original, 3)
    forks = own_platform.fork(original, name="step-0", count=3)
    own_platform.kill_controller()
    own_platform.start()
    for index, fork in enumerate(forks):
        assert own_platform.get(fork).branch == 1
        assert own_platform.wait_results(fork, 3)[0] == f"[0] None (1, 'step-0', {index})"
    for execution in (original, *forks):
        own_platform.cancel(execution)
