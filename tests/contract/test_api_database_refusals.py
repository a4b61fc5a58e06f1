"""The database refuses for a moment, as when its disk is full: what has happened by then is recorded all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from controller_under_test import ControllerUnderTest, running_controller
from flowsnap.v1 import types_pb2
from grpc import aio

from controller.errors import Unavailable


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data", recovery_backoff_s=(0.0,)) as running:
        yield running


class Refusal(Unavailable):
    not_recorded = True


def refuse(controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch, method: str, times: int = 2) -> list[str]:
    """The next calls of that method of the database. Answers what was refused so far."""
    database, refused = controller.services.database, []
    carry_out = getattr(database, method)

    def asked(*arguments: Any, **options: Any) -> Any:
        if len(refused) < times:
            refused.append(method)
            raise Refusal(f"{method}: database is locked")
        return carry_out(*arguments, **options)

    monkeypatch.setattr(database, method, asked)
    return refused


async def test_execution_is_recovered_once_when_its_log_takes_no_line(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    refused = refuse(controller, monkeypatch, "append_log")
    await controller.launcher.die(execution_id)
    fresh = await controller.launcher.agent(execution_id)
    await fresh.redone.get()
    async with asyncio.timeout(20):
        while not await controller.log(execution_id):  # noqa: ASYNC110  a condition on the records
            await asyncio.sleep(0.02)
    [line] = await controller.log(execution_id)
    assert line.text.startswith("--- recovered from savepoint 1")
    assert refused == ["append_log"] * 2
    assert len(controller.launcher.specs) == 2
    assert (await controller.show(execution_id)).recovery_count == 1
    await fresh.end("success", "")
    assert (await controller.ended(execution_id)).status == types_pb2.EXECUTION_STATUS_ENDED_SUCCESS


async def test_load_is_recorded_when_the_tree_is_there_already(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    refused = refuse(controller, monkeypatch, "begin_branch")
    assert (await controller.load(execution_id, name="a")).execution.branch == 2
    assert refused == ["begin_branch"] * 2
    await agent.redone.get()
    await agent.call("set_output", items={"n": 1})
    assert await controller.status(execution_id) == "RUNNING"


async def test_undo_is_undone_once_whatever_is_refused_after_it(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await controller.load(execution_id, name="a")
    refused = refuse(controller, monkeypatch, "abandon_calls")
    await controller.undo(execution_id)
    assert refused == ["abandon_calls"] * 2
    with pytest.raises(aio.AioRpcError, match="no load is left to be taken back"):
        await controller.undo(execution_id)
    assert [line.text for line in await controller.log(execution_id) if "failed" in line.text] == []


@pytest.mark.parametrize("method", ["abandon_calls", "undo_to_ended"])
async def test_undo_to_an_end_ends_it_when_that_is_refused_at_first(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    await agent.end("success", "done")
    await controller.ended(execution_id)
    await controller.load(execution_id, name="a")
    refused = refuse(controller, monkeypatch, method)
    undone = await controller.undo(execution_id)
    assert refused == [method] * 2
    assert undone.execution.message == "done"
    assert await controller.status(execution_id) == "ENDED_SUCCESS"


async def test_failed_execution_is_tried_again_when_that_is_refused_at_first(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id, agent = await controller.run(retry=types_pb2.RetryRule(retries=1))
    await agent.call("create_dump", name="a")
    refused = refuse(controller, monkeypatch, "put_off")
    await agent.vanish(1, error="ValueError: no")
    await controller.launcher.gone(agent)
    fresh = await controller.launcher.agent(execution_id)
    await fresh.redone.get()
    assert refused == ["put_off"] * 2
    assert (await controller.show(execution_id)).retry_count == 1


async def test_pause_is_recorded_when_the_tree_is_frozen_already(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    refused = refuse(controller, monkeypatch, "set_status")
    await controller.pause(execution_id)
    assert refused == ["set_status"] * 2
    assert await controller.status(execution_id) == "PAUSED"
    await controller.resume(execution_id)
    assert not agent.frozen


async def test_execution_goes_on_when_its_end_by_an_operator_is_not_recorded(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    refuse(controller, monkeypatch, "set_status", times=1)
    with pytest.raises(aio.AioRpcError, match="database is locked"):
        await controller.cancel(execution_id)
    assert not agent.frozen
    assert await controller.status(execution_id) == "RUNNING"
    await controller.cancel(execution_id)
    assert (await controller.ended(execution_id)).status == types_pb2.EXECUTION_STATUS_ENDED_CANCELLED


async def test_container_goes_when_calls_of_an_ended_execution_are_not_recorded_at_first(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    refused = refuse(controller, monkeypatch, "abandon_calls")
    await controller.cancel(execution_id)
    assert refused == ["abandon_calls"] * 2
    await controller.launcher.gone(agent)
