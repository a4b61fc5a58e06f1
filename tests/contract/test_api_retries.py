"""Retries through the real servers: an error is an end only when its rule is used up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from controller_under_test import ControllerUnderTest, FakeLauncher, running_controller, until
from fake_agent import FakeAgent, FlowError, Halted
from flowsnap.v1 import types_pb2
from grpc import aio

from controller.config import Config

SUCCESS = types_pb2.EXECUTION_STATUS_ENDED_SUCCESS
ERROR = types_pb2.EXECUTION_STATUS_ENDED_ERROR


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data", recovery_backoff_s=(0.0,)) as running:
        yield running


def _rule(retries: int, savepoint: str = "", backoff_s: float = 0.0) -> types_pb2.RetryRule:
    return types_pb2.RetryRule(retries=retries, savepoint=savepoint, backoff_s=backoff_s)


async def _raise(agent: FakeAgent) -> None:
    await agent.vanish(1, error="Traceback (most recent call last):\nValueError: no luck")


async def _next(controller: ControllerUnderTest, execution_id: str, agent: FakeAgent) -> FakeAgent:
    await controller.launcher.gone(agent)
    fresh = await controller.launcher.agent(execution_id)
    await fresh.redone.get()
    return fresh


async def test_failed_execution_is_loaded_again_until_its_retries_are_used_up(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run(retry=_rule(2))
    agent.memory["before"] = 1
    await agent.call("set_output", items={"n": 1})
    agent.memory["before"] = 2
    for number in (1, 2):
        await _raise(agent)
        agent = await _next(controller, execution_id, agent)
        assert (agent.memory, agent.restored["why"], agent.restored["times"]) == ({"before": 1}, "retry", number)
    await _raise(agent)
    ended = await controller.ended(execution_id)
    assert (ended.status, ended.retry_count, ended.branch) == (ERROR, 2, 3)
    assert ended.message.endswith("ValueError: no luck")
    said = [line.text for line in await controller.log(execution_id) if "retry" in line.text]
    assert "retry 1 of 2 in 0 s" in said[0]
    assert "ValueError: no luck" in said[0]
    assert "loaded savepoint 1 (line 1, set_output), by retry" in said[1]


async def test_named_savepoint_is_loaded_once_there_is_one(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("retry", retries=2, savepoint="here", backoff=0)
    await _raise(agent)
    agent = await _next(controller, execution_id, agent)
    await agent.call("create_dump", name="here")
    agent.memory["after"] = True
    await agent.call("set_output", items={"n": 1})
    await agent.end("error", "not yet")
    agent = await _next(controller, execution_id, agent)
    assert "after" not in agent.memory
    assert agent.restored["name"] == "here"
    await agent.end("success", "now")
    ended = await controller.ended(execution_id)
    assert (ended.status, ended.message, ended.retry_count) == (SUCCESS, "now", 2)


async def test_what_this_error_decided_is_not_decided_again(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run(retry=_rule(1))
    await agent.call("set_output", items={"n": 1})
    await agent.end("error", "not yet")
    agent = await _next(controller, execution_id, agent)
    assert agent.restored["savepoint"] == 1
    await agent.end("success", "")
    assert (await controller.ended(execution_id)).status == SUCCESS


async def test_retry_is_told_and_can_be_cancelled_while_it_waits(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run(retry=_rule(3, backoff_s=600))
    await agent.call("set_output", items={"n": 1})
    await _raise(agent)
    await controller.until(execution_id, "SLEEPING")
    shown = await controller.show(execution_id)
    assert shown.message == "retry 1 of 3 in 600 s: ValueError: no luck"
    assert shown.HasField("retry_at")
    await until(lambda: not controller.launcher.agents)
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.pause(execution_id)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await controller.cancel(execution_id)
    ended = await controller.ended(execution_id)
    assert ended.status == types_pb2.EXECUTION_STATUS_ENDED_CANCELLED
    assert not ended.HasField("retry_at")


async def test_operator_loads_before_the_retry_does(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run(retry=_rule(3, backoff_s=600))
    await agent.call("create_dump", name="a")
    await _raise(agent)
    await controller.until(execution_id, "SLEEPING")
    await controller.load(execution_id, name="a")
    shown = await controller.show(execution_id)
    assert (shown.status, shown.branch) == (types_pb2.EXECUTION_STATUS_RUNNING, 2)
    assert not shown.HasField("retry_at")


async def test_retry_comes_when_the_controller_was_started_anew_meanwhile(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run(retry=_rule(1, backoff_s=2))
        await agent.call("set_output", items={"n": 1})
        await _raise(agent)
        await first.until(execution_id, "SLEEPING")
        await launcher.gone(agent)
    async with running_controller(tmp_path / "data", launcher=launcher) as second:
        fresh = await launcher.agent(execution_id)
        await fresh.redone.get()
        assert await second.status(execution_id) == "RUNNING"
    await launcher.close()


async def test_process_that_is_lost_again_and_again_is_retried_too(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run(retry=_rule(1))
    await agent.call("create_dump", name="a")
    for _ in range(5):
        await agent.vanish(-11)
        agent = await _next(controller, execution_id, agent)
    await agent.vanish(-11)
    ended = await controller.ended(execution_id)
    assert (ended.status, ended.retry_count, ended.recovery_count) == (ERROR, 1, 4)


@pytest.mark.parametrize("rule", [_rule(-1), _rule(1001), _rule(1, backoff_s=-1), _rule(1, "x" * 300)])
async def test_rule_that_can_not_be_is_refused(controller: ControllerUnderTest, rule: types_pb2.RetryRule) -> None:
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.run(retry=rule)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    _, agent = await controller.run()
    with pytest.raises(FlowError):
        await agent.call("retry", retries=rule.retries, savepoint=rule.savepoint, backoff=rule.backoff_s)


async def test_retry_comes_after_an_operator_s_load_that_failed(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run(retry=_rule(1, backoff_s=2))
    await agent.call("set_output", items={"n": 1})
    await _raise(agent)
    await controller.launcher.gone(agent)
    controller.launcher.on_start = lambda agent: setattr(agent, "fail_restores", "CRIU refused")
    with pytest.raises(aio.AioRpcError, match="CRIU refused"):
        await controller.load(execution_id, id="1")
    controller.launcher.on_start = lambda agent: None
    await until(lambda: execution_id in controller.launcher.agents)
    fresh = controller.launcher.agents[execution_id]
    await fresh.redone.get()
    assert fresh.restored["why"] == "retry"


async def test_retry_comes_when_the_engine_had_not_removed_the_container(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run(retry=_rule(1, backoff_s=1))
    await agent.call("set_output", items={"n": 1})
    controller.launcher.refuse_removal = "docker does not answer"
    await _raise(agent)
    await controller.until(execution_id, "SLEEPING")
    controller.launcher.refuse_removal = ""
    fresh = await _next(controller, execution_id, agent)
    assert fresh.restored["why"] == "retry"


async def test_retry_finds_a_savepoint_that_was_not_committed_when_the_flow_failed(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run(retry=_rule(1))
    agent.dies_before_commit = True
    with pytest.raises(Halted):
        await agent.call("set_output", items={"n": 1})
    await _raise(agent)
    fresh = await _next(controller, execution_id, agent)
    assert (fresh.restored["why"], fresh.restored["savepoint"]) == ("retry", 1)
