"""The database refuses for a moment, as when its disk is full: what has happened by then is recorded all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from controller_under_test import ControllerUnderTest, running_controller
from flowsnap.v1 import types_pb2

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
