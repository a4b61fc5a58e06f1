"""Recovery through the real servers: whatever dies, the execution goes on, and no completed call is repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from controller_under_test import ControllerUnderTest, FakeLauncher, running_controller, until
from fake_agent import FakeAgent, Halted
from flowsnap.v1 import types_pb2

from controller import recovery
from controller.config import Config
from controller.errors import Unavailable
from controller.ports import ContainerSpec


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data", recovery_backoff_s=(0.0,)) as running:
        yield running


async def _lose(controller: ControllerUnderTest, execution_id: str) -> FakeAgent:
    """The container dies; answers the agent of the next one."""
    await controller.launcher.die(execution_id)
    return await controller.launcher.agent(execution_id)


async def test_execution_goes_on_from_its_newest_savepoint_when_its_container_dies(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    agent.memory["kept"] = 1
    dump = await agent.call("create_dump", name="a")
    agent.memory["kept"] = 2
    fresh = await _lose(controller, execution_id)
    assert await fresh.redone.get() == dump
    assert (fresh.memory, fresh.restored, fresh.branch) == ({"kept": 1}, None, 1)
    shown = await controller.show(execution_id)
    assert (shown.status, shown.branch, shown.load_count) == (types_pb2.EXECUTION_STATUS_RUNNING, 1, 0)
    assert shown.recovery_count == 1
    assert [savepoint.name for savepoint in await controller.list_savepoints(execution_id)] == ["a"]
    lines = [line.text for line in await controller.log(execution_id)]
    assert lines == ["--- recovered from savepoint 1 (line 1, create_dump): its container was killed by signal 9 ---"]
    await fresh.end("success", "done")
    assert (await controller.ended(execution_id)).message == "done"


async def test_completed_calls_keep_their_results_when_their_savepoints_were_lost(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("set_output", items={"n": 0})
    # Two calls are completed, but no savepoint of them is.
    agent.seq = 2
    await agent._carry_out({"seq": 2, "name": "log", "args": {"args": ["once"], "kwargs": {}}})
    fresh = await _lose(controller, execution_id)
    await fresh.redone.get()
    await fresh.call("set_output", items={"n": 2})
    fresh.seq = 1  # so that file and line are those of before
    assert await fresh._carry_out({"seq": 2, "name": "log", "args": {"args": ["other"], "kwargs": {}}}) is None
    said = [line.text for line in await controller.log(execution_id) if line.stream == "log"]
    assert said == ["once"]


async def test_a_load_after_a_recovery_shows_what_the_script_was_told_before(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await controller.load(execution_id, name="a")
    await agent.call("set_output", items={"x": 1})
    told = agent.restored
    fresh = await _lose(controller, execution_id)
    await fresh.redone.get()
    assert (fresh.restored, fresh.branch) == (told, 2)
    assert (await controller.show(execution_id)).load_count == 1


async def test_open_call_is_joined_when_the_controller_still_carries_it_out(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    sleeping = asyncio.create_task(agent.call("sleep", seconds=5))
    await controller.until_saved(execution_id)
    await controller.until(execution_id, "SLEEPING")
    (under_way,) = controller.services.live.get(execution_id).calls.values()
    fresh = await _lose(controller, execution_id)
    assert [call.task for call in controller.services.live.get(execution_id).calls.values()] == [under_way.task]
    assert await fresh.redone.get() is None
    assert under_way.task.done()
    sleeping.cancel()
    assert await controller.status(execution_id) == "RUNNING"


async def test_sleep_keeps_its_end_when_controller_and_container_are_lost(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    begun = asyncio.get_running_loop().time()
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run()
        sleeping = asyncio.create_task(agent.call("sleep", seconds=8))
        await first.until_saved(execution_id)
        await first.until(execution_id, "SLEEPING")
        await asyncio.sleep(5)
    sleeping.cancel()
    await launcher.die(execution_id)
    async with running_controller(tmp_path / "data", launcher=launcher):
        fresh = await launcher.agent(execution_id)
        assert await fresh.redone.get() is None
        # Begun anew it would end after 13 s at the earliest.
        assert 7.9 < asyncio.get_running_loop().time() - begun < 13
    await launcher.close()


async def test_execution_ends_and_says_why_when_it_is_lost_three_times_at_one_savepoint(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    for _ in range(2):
        await agent.vanish(-11)
        await controller.launcher.gone(agent)
        agent = await controller.launcher.agent(execution_id)
        await agent.redone.get()
    await agent.vanish(-11)
    ended = await controller.ended(execution_id)
    assert ended.status == types_pb2.EXECUTION_STATUS_ENDED_ERROR
    assert ended.message == (
        "the flow's process was killed by signal 11; lost 3 times in a row after savepoint 1; load an older savepoint"
    )
    assert ended.recovery_count == 2


async def test_losses_are_counted_anew_when_there_is_a_further_savepoint(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    for number in range(5):
        await agent.call("create_dump", name=str(number))
        await agent.vanish(3)
        await controller.launcher.gone(agent)
        agent = await controller.launcher.agent(execution_id)
        await agent.redone.get()
    assert (await controller.show(execution_id)).recovery_count == 5


async def test_execution_ends_when_it_is_lost_by_its_own_doing_again_and_again_between_savepoints(
    tmp_path: Path,
) -> None:
    async with running_controller(tmp_path / "data", recovery_backoff_s=(0.0,), recovery_limit=3) as controller:
        execution_id, agent = await controller.run()
        await agent.call("create_dump", name="first")
        for number in range(3):
            # Whoever ended the container did: that counts for nothing here.
            agent = await _lose(controller, execution_id)
            await agent.redone.get()
            await agent.call("create_dump", name=str(number))
            await agent.vanish(1)
            if number < 2:
                await controller.launcher.gone(agent)
                agent = await controller.launcher.agent(execution_id)
                await agent.redone.get()
        ended = await controller.ended(execution_id)
        assert ended.status == types_pb2.EXECUTION_STATUS_ENDED_ERROR
        assert ended.message == (
            "the flow's process ended without returning: exit status 1; lost 3 times by its own doing, which is the"
            " limit (--recovery-limit); load an older savepoint"
        )
        # Whoever loads it gives it another chance.
        assert (await controller.load(execution_id, name="first")).execution.branch == 2
        agent = await controller.launcher.agent(execution_id)
        await agent.redone.get()
        await agent.vanish(1)
        await controller.launcher.gone(agent)
        await (await controller.launcher.agent(execution_id)).redone.get()
        assert await controller.status(execution_id) == "RUNNING"


async def test_execution_ends_with_the_limit_when_memory_runs_out_again_and_again(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run(memory_limit_bytes=64 << 20)
    controller.launcher.oom.add(execution_id)
    for _ in range(2):
        await agent.vanish(-9)
        await controller.launcher.gone(agent)
        agent = await controller.launcher.agent(execution_id)
        await agent.started
    await agent.vanish(-9)
    message = (await controller.ended(execution_id)).message
    assert message.startswith("out of memory: the container's limit is 64 MiB; lost 3 times in a row before its first")
    assert "run it with a higher memory limit" in message


async def test_older_savepoint_is_restored_when_the_newest_is_damaged(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    agent.memory["at"] = 1
    await agent.call("create_dump", name="a")
    agent.memory["at"] = 2
    second = await agent.call("create_dump", name="b")
    controller.services.store.delete(second)
    await controller.launcher.die(execution_id)
    unlucky = await controller.launcher.agent(execution_id)
    await controller.launcher.gone(unlucky)
    fresh = await controller.launcher.agent(execution_id)
    await fresh.redone.get()
    assert fresh.memory == {"at": 1}
    lines = [line.text for line in await controller.log(execution_id)]
    assert "going on from the savepoint before" in lines[0]
    assert "recovered from savepoint 1" in lines[1]


async def test_execution_ends_when_none_of_its_savepoints_can_be_read(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    controller.services.store.delete(await agent.call("create_dump", name="a"))
    await controller.launcher.die(execution_id)
    ended = await controller.ended(execution_id)
    assert ended.status == types_pb2.EXECUTION_STATUS_ENDED_ERROR
    assert "none of its savepoints can be restored" in ended.message


async def test_execution_ends_with_criu_s_words_when_a_savepoint_can_t_be_restored(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")

    def refuse(agent: FakeAgent) -> None:
        agent.fail_restores = "Error (criu/cr-restore.c:1): no"

    controller.launcher.on_start = refuse
    await controller.launcher.die(execution_id)
    ended = await controller.ended(execution_id)
    assert "its newest savepoint can't be restored" in ended.message
    assert "criu/cr-restore.c:1" in ended.message
    controller.launcher.on_start = lambda agent: None
    assert (await controller.load(execution_id, name="a")).execution.branch == 2


async def test_loss_counts_once_however_often_the_engine_refuses_the_recovery(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_RETRY_S", 0.01)
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    start, refused = controller.launcher.start, 0

    async def started(spec: ContainerSpec) -> None:
        nonlocal refused
        if refused < 3:
            refused += 1
            raise Unavailable("the engine does not answer")
        await start(spec)

    monkeypatch.setattr(controller.launcher, "start", started)
    fresh = await _lose(controller, execution_id)
    await fresh.redone.get()
    assert refused == 3
    assert (await controller.show(execution_id)).recovery_count == 1


async def test_calls_keep_their_results_when_an_execution_woke_from_an_older_savepoint_and_the_controller_went(
    tmp_path: Path,
) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher, park_after_s=0.1) as first:
        execution_id, agent = await first.run()
        await agent.call("create_dump", name="a")
        await agent.call("log", args=["once"], kwargs={})
        sleeping = asyncio.create_task(agent.call("sleep", seconds=1))
        await launcher.gone(agent)
        for savepoint in (await first.list_savepoints(execution_id))[1:]:
            first.services.store.delete(savepoint.id)
        await until(lambda: any(found.running for found in launcher.agents.values()))
        fresh = launcher.agents[execution_id]
        await fresh.redone.get()
    sleeping.cancel()
    async with running_controller(tmp_path / "data", launcher=launcher) as second:
        await until(second.services.live.get(execution_id).attached.is_set)
        await fresh.call("log", args=["once"], kwargs={})
        said = [line.text for line in await second.log(execution_id) if line.stream == "log"]
        assert said == ["once"]
    await launcher.close()


async def test_script_starts_anew_when_it_is_lost_before_its_first_savepoint(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent._carry_out({"seq": 1, "name": "log", "args": {"args": ["once"], "kwargs": {}}})
    fresh = await _lose(controller, execution_id)
    await fresh.started
    await fresh.call("log", args=["once"], kwargs={})
    said = [line.text for line in await controller.log(execution_id) if line.stream == "log"]
    assert said == ["once"]


async def test_paused_execution_waits_without_a_container_when_it_was_lost(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("set_output", items={"n": 1})
    await controller.pause(execution_id)
    await controller.launcher.die(execution_id)
    await until(lambda: not controller.services.live.get(execution_id).housed)
    assert controller.launcher.agents == {}
    assert await controller.status(execution_id) == "PAUSED"
    assert (await controller.create_savepoint(execution_id, "kept")).name == "kept"
    await controller.resume(execution_id)
    fresh = await controller.launcher.agent(execution_id)
    await fresh.call("set_output", items={"n": 2})
    assert await controller.status(execution_id) == "RUNNING"
    assert (await controller.show(execution_id)).output_value_json == b'{"n":2}'


async def test_flow_that_paused_itself_goes_on_once_resumed_when_all_was_lost(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run()
        pausing = asyncio.create_task(agent.call("pause"))
        await first.until(execution_id, "PAUSED")
    pausing.cancel()
    await launcher.die(execution_id)
    async with running_controller(tmp_path / "data", launcher=launcher) as second:
        await until(lambda: not second.services.live.get(execution_id).housed)
        await second.resume(execution_id)
        fresh = await launcher.agent(execution_id)
        assert await fresh.redone.get() is None
        assert await second.status(execution_id) == "RUNNING"
    await launcher.close()


async def test_newest_savepoint_is_restored_when_the_container_was_lost_with_the_controller(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run()
        agent.memory["kept"] = 1
        await agent.call("create_dump", name="a")
    await launcher.die(execution_id)
    async with running_controller(tmp_path / "data", launcher=launcher) as second:
        fresh = await launcher.agent(execution_id)
        await fresh.redone.get()
        assert (fresh.memory, fresh.restored) == ({"kept": 1}, None)
        shown = await second.show(execution_id)
        assert (shown.status, shown.recovery_count, shown.branch) == (types_pb2.EXECUTION_STATUS_RUNNING, 1, 1)
    await launcher.close()


async def test_dump_left_in_the_spool_is_where_it_goes_on_when_its_container_dies(
    controller: ControllerUnderTest,
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    agent.memory["newest"] = 1
    agent.dies_before_commit = True
    with pytest.raises(Halted):
        await agent.call("set_output", items={"x": 1})
    fresh = await _lose(controller, execution_id)
    await fresh.redone.get()
    assert fresh.memory == {"newest": 1}
    saved = await controller.list_savepoints(execution_id)
    assert [(savepoint.number, savepoint.call) for savepoint in saved] == [(1, "create_dump"), (2, "set_output")]


async def test_a_dump_left_in_the_spool_is_restored_when_the_controller_was_lost_too(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run()
        await agent.call("create_dump", name="a")
        agent.memory["newest"] = 1
        agent.dies_before_commit = True
        with pytest.raises(Halted):
            await agent.call("set_output", items={"x": 1})
    await launcher.die(execution_id)
    async with running_controller(tmp_path / "data", launcher=launcher) as second:
        fresh = await launcher.agent(execution_id)
        await fresh.redone.get()
        assert fresh.memory == {"newest": 1}
        assert [savepoint.call for savepoint in await second.list_savepoints(execution_id)] == [
            "create_dump",
            "set_output",
        ]
    await launcher.close()


async def test_flow_starts_anew_when_it_was_lost_before_its_first_call(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, _ = await first.run()
    await launcher.die(execution_id)
    async with running_controller(tmp_path / "data", launcher=launcher) as second:
        fresh = await launcher.agent(execution_id)
        await fresh.started
        assert await fresh.call("get", fields=["status"]) == {"status": "RUNNING"}
        assert (await second.show(execution_id)).branch == 1
    await launcher.close()


async def test_container_that_waits_for_its_savepoint_is_replaced_when_the_controller_dies_then(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run()
        await agent.call("create_dump", name="a")

        def hold(agent: FakeAgent) -> None:
            agent.deaf = True

        launcher.on_start = hold
        stuck = await _lose(first, execution_id)
        await stuck.heard.wait()
    launcher.on_start = lambda agent: None
    async with running_controller(tmp_path / "data", launcher=launcher) as second:
        await launcher.gone(stuck)
        fresh = await launcher.agent(execution_id)
        await fresh.redone.get()
        assert await second.status(execution_id) == "RUNNING"
    await launcher.close()


async def test_execution_is_loaded_while_it_waits_to_be_recovered(tmp_path: Path) -> None:
    async with running_controller(tmp_path / "data", recovery_backoff_s=(600.0,)) as controller:
        execution_id, agent = await controller.run()
        agent.memory["kept"] = 1
        await agent.call("create_dump", name="a")
        await controller.launcher.die(execution_id)
        await until(lambda: not controller.services.live.get(execution_id).housed)
        loaded = await controller.load(execution_id, name="a")
        assert (loaded.execution.branch, loaded.before.number) == (2, 1)
        assert controller.launcher.agents[execution_id].memory == {"kept": 1}


async def test_execution_is_cancelled_while_it_waits_to_be_recovered(tmp_path: Path) -> None:
    async with running_controller(tmp_path / "data", recovery_backoff_s=(600.0,)) as controller:
        execution_id, agent = await controller.run()
        await agent.call("create_dump", name="a")
        await controller.launcher.die(execution_id)
        await controller.cancel(execution_id)
        assert (await controller.ended(execution_id)).status == types_pb2.EXECUTION_STATUS_ENDED_CANCELLED


async def test_next_controller_removes_what_is_left_when_the_engine_answers_again(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run()
        launcher.refuse_removal = "docker does not answer"
        await first.cancel(execution_id)
    assert execution_id in launcher.agents
    async with running_controller(tmp_path / "data", launcher=launcher):
        await asyncio.sleep(0.2)  # so that the first sweep is refused
        launcher.refuse_removal = ""
        await launcher.gone(agent)


async def test_next_controller_commits_what_an_execution_left_that_had_ended(tmp_path: Path) -> None:
    launcher = FakeLauncher(Config(data_dir=tmp_path / "data").agent_socket)
    async with running_controller(tmp_path / "data", launcher=launcher) as first:
        execution_id, agent = await first.run()
        await agent.call("create_dump", name="a")
        agent.dies_before_commit = True
        with pytest.raises(Halted):
            await agent.call("set_output", items={"x": 1})
        launcher.refuse_removal = "docker does not answer"
        await agent.vanish(1, error="ValueError: no")
        await first.until(execution_id, "ENDED_ERROR")
    launcher.refuse_removal = ""
    async with running_controller(tmp_path / "data", launcher=launcher) as second:
        await launcher.gone(agent)
        await until(lambda: second.services.live.get(execution_id) is None)
        saved = await second.list_savepoints(execution_id)
        assert [savepoint.call for savepoint in saved] == ["create_dump", "set_output"]
        assert not second.services.agent_dir(execution_id).exists()
    await launcher.close()
