"""The Docker engine answers 500, or hangs: running executions go on, others hear of it, and nothing is left over."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from engine_proxy import EngineProxy
from platform_under_test import SUCCESS, Platform, containers, running_platform

GOES_ON = """
    import time

    def handler(system, this):
        counted = 0
        while not system.setting("enough").exists():
            counted += 1
            this.set_output("counted", counted)
            print("RESULT", counted)
            time.sleep(0.05)
        this.success(str(counted))
"""
ENOUGH = "def handler(system, this):\n    system.setting('enough').save(True)\n"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineProxy]:
    # A socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    proxy = EngineProxy(folder / "docker.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
    yield proxy
    proxy.close()
    shutil.rmtree(folder)


@pytest.fixture
def faulty_platform(proxy: EngineProxy, tmp_path: Path) -> Iterator[Platform]:
    with running_platform(tmp_path / "data") as platform:
        try:
            yield platform
        finally:
            proxy.be("pass")


def test_running_executions_go_on_while_the_engine_answers_500(faulty_platform: Platform, proxy: EngineProxy) -> None:
    platform = faulty_platform
    execution = platform.run(GOES_ON)
    count = len(platform.wait_results(execution, 3))
    proxy.be("500")
    with pytest.raises(grpc.RpcError) as refused:
        platform.run("def handler(system, this): pass")
    assert "the engine is out of order" in refused.value.details()
    platform.wait_results(execution, count + 10)
    platform.create_savepoint(execution, "meanwhile")
    # A load of one that runs needs no new container.
    platform.load(execution, name="meanwhile")
    proxy.be("pass")
    _finish(platform, execution)


def test_child_starts_and_one_that_is_lost_comes_back_when_the_engine_is_well_again(
    faulty_platform: Platform, proxy: EngineProxy
) -> None:
    platform = faulty_platform
    lost = platform.run("def handler(system, this):\n    this.create_dump('here')\n    this.sleep(5)\n")
    parent = platform.run(
        """
        import time

        def handler(system, this):
            print("RESULT begun")
            while not system.setting("go").exists():
                time.sleep(0.05)
            this.script("def handler(system, this): this.log('born')")
        """
    )
    platform.wait_results(parent, 1)
    platform.wait_savepoint(lost, "sleep")
    agent = platform.agent_pid(lost)
    proxy.be("500")
    platform.save_setting("go", True)
    os.kill(agent, signal.SIGKILL)
    platform.wait_until(lambda: _says(platform, "can't be started yet"), parent)
    proxy.be("pass")
    for execution in (parent, lost):
        assert platform.wait_ended(execution).status == SUCCESS, platform.log(execution)
    assert platform.get(lost).recovery_count == 1


def test_the_container_of_one_that_ends_meanwhile_goes_when_the_engine_answers_again(
    faulty_platform: Platform, proxy: EngineProxy
) -> None:
    platform = faulty_platform
    execution = platform.run("def handler(system, this):\n    this.sleep(1)\n    this.success('done')\n")
    platform.wait_until(lambda: platform.savepoints(execution), execution)
    proxy.be("500")
    assert platform.wait_ended(execution).message == "done"
    proxy.be("pass")
    platform.wait_until(lambda: not containers(platform.data_dir), execution)


def test_a_start_waits_for_an_engine_that_hangs(faulty_platform: Platform, proxy: EngineProxy) -> None:
    platform = faulty_platform
    execution = platform.run(GOES_ON)
    count = len(platform.wait_results(execution, 3))
    proxy.be("hang")
    with pytest.raises(grpc.RpcError) as refused:
        platform.executions.CreateExecution(
            _creation("def handler(system, this):\n    this.success('late')\n"), timeout=3
        )
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    platform.wait_results(execution, count + 10)
    proxy.be("pass")
    late = platform.run("def handler(system, this):\n    this.success('late')\n")
    assert platform.wait_ended(late).message == "late"
    _finish(platform, execution)


def _creation(script: str) -> object:
    from flowsnap.v1 import control_pb2

    return control_pb2.CreateExecutionRequest(script=script, flow_name="late.py")


def _says(platform: Platform, words: str) -> bool:
    return words in platform.controller_log()


def _finish(platform: Platform, execution: str) -> None:
    platform.run(ENOUGH)
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS
    # Each call once, but for the one that the load repeated.
    counted = [int(result) for result in platform.results(execution)]
    assert sorted(set(counted)) == list(range(1, int(ended.message) + 1))
    platform.wait_until(lambda: not containers(platform.data_dir))
    platform.wait_until(lambda: not list((platform.data_dir / "agents").iterdir()))
