"""The engine ends or is away, through the real servers: its faults are not those of the executions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from controller_under_test import SCRIPT, ControllerUnderTest, FakeLauncher, running_controller, until
from fake_agent import FakeAgent
from flowsnap.v1 import control_pb2 as pb
from grpc import aio

from controller import adoption
from controller.config import Config


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data", recovery_backoff_s=(0.0,), park_after_s=0.1) as running:
        yield running


async def test_losses_with_the_engine_are_no_strikes(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    controller.launcher.ends_with_engine = True
    for _ in range(4):
        await controller.launcher.die(execution_id)
        agent = await controller.launcher.agent(execution_id)
        await agent.redone.get()
    assert (await controller.show(execution_id)).recovery_count == 4
    assert "its container ended with the Docker engine" in (await controller.log(execution_id))[-1].text
    await agent.end("success", "done")
    assert (await controller.ended(execution_id)).message == "done"


async def test_restores_that_the_engine_ends_are_no_strikes(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    launcher = controller.launcher
    launcher.ends_with_engine = True
    deaf: list[FakeAgent] = []

    def first_three(agent: FakeAgent) -> None:
        if len(deaf) < 3:
            agent.deaf = True
            deaf.append(agent)

    launcher.on_start = first_three
    for number in range(3):
        await launcher.die(execution_id)
        await until(lambda: len(deaf) > number)  # noqa: B023 (it is awaited here)
        await deaf[number].heard.wait()
    await launcher.die(execution_id)
    await until(lambda: execution_id in launcher.agents)
    agent = await launcher.agent(execution_id)
    await agent.redone.get()
    await agent.end("success", "done")
    assert (await controller.ended(execution_id)).message == "done"


async def test_lost_one_that_waits_is_brought_back_when_the_engine_is_back(controller: ControllerUnderTest) -> None:
    """Parking, which can do nothing for it meanwhile, is not in the way."""
    execution_id, agent = await controller.run()
    controller.launcher.refuse_removal = "the engine is away"
    agent.busy = True
    sleeping = asyncio.create_task(agent.call("sleep", seconds=60))
    await controller.until_saved(execution_id)
    await controller.until(execution_id, "SLEEPING")
    sleeping.cancel()
    await controller.launcher.die(execution_id)
    await asyncio.sleep(3)  # long enough for many attempts to park it
    controller.launcher.refuse_removal = ""
    assert await controller.launcher.agent(execution_id) is not agent


async def test_start_whose_answer_was_lost_is_taken_for_one_when_its_agent_attached(
    controller: ControllerUnderTest,
) -> None:
    controller.launcher.loses_answers = True
    execution_id, agent = await controller.run()
    await _refused_and_tried_again(controller, execution_id)
    await agent.call("create_dump", name="a")
    await agent.end("success", "done")
    ended = await controller.ended(execution_id)
    assert (ended.message, ended.recovery_count) == ("done", 0)
    assert execution_id not in controller.launcher.agents


async def test_start_whose_answer_was_lost_is_made_anew_when_no_agent_attached(controller: ControllerUnderTest) -> None:
    launcher = controller.launcher
    launcher.loses_answers = True
    silent: list[FakeAgent] = []

    def first(agent: FakeAgent) -> None:
        if not silent:
            silent.append(agent)
            agent._attaching.cancel()

    launcher.on_start = first
    request = pb.CreateExecutionRequest(script=SCRIPT, flow_name="flow.py")
    execution_id = (await controller.executions.CreateExecution(request)).execution.id
    await launcher.gone(await launcher.agent(execution_id))
    agent = await launcher.agent(execution_id)
    await agent.started
    await agent.end("success", "done")
    ended = await controller.ended(execution_id)
    assert (ended.message, ended.recovery_count) == ("done", 0)


async def test_start_whose_answer_was_lost_is_recovered_when_its_flow_began_and_is_gone(
    controller: ControllerUnderTest,
) -> None:
    controller.launcher.loses_answers = True
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await controller.launcher.die(execution_id)
    agent = await controller.launcher.agent(execution_id)
    await agent.redone.get()
    await agent.end("success", "done")
    ended = await controller.ended(execution_id)
    assert (ended.message, ended.recovery_count) == ("done", 1)


async def _refused_and_tried_again(controller: ControllerUnderTest, execution_id: str) -> None:
    async with asyncio.timeout(20):
        while not any(  # noqa: ASYNC110 (a client would ask, too)
            "its start is tried again" in line.text for line in await controller.log(execution_id)
        ):
            await asyncio.sleep(0.005)
        live = controller.services.live.get(execution_id)
        assert live is not None
        while live.watching is None:  # noqa: ASYNC110 (what is waited for is inside the controller)
            await asyncio.sleep(0.005)


async def test_load_of_an_ended_one_is_refused_at_once_while_the_engine_is_away(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await agent.end("success", "done")
    before = await controller.ended(execution_id)
    controller.launcher.refuse_removal = "the engine is away"
    with pytest.raises(aio.AioRpcError) as refused:
        async with asyncio.timeout(10):
            await controller.load(execution_id, name="a")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "the engine is away" in (refused.value.details() or "")
    assert await controller.show(execution_id) == before
    controller.launcher.refuse_removal = ""
    await controller.load(execution_id, name="a")
    assert await controller.status(execution_id) == "RUNNING"


async def test_agent_that_comes_late_is_waited_for_while_the_engine_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run()
        await agent.call("create_dump", name="a")
    monkeypatch.setattr(adoption, "REATTACH_LIMIT_S", 0.0)
    launcher.away = "the engine is away"
    async with running_controller(tmp_path / "data", launcher=launcher) as second:
        live = second.services.live.get(execution_id)
        assert live is not None
        async with asyncio.timeout(20):
            await live.attached.wait()
        launcher.away = ""
        await agent.end("success", "done")
        ended = await second.ended(execution_id)
        assert (ended.message, ended.recovery_count) == ("done", 0)
    await launcher.close()
