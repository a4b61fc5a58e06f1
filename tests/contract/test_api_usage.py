"""What executions used: from their agents to clients, counted on over containers, and bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import database_records as records
import grpc
import pytest
from controller_under_test import ControllerUnderTest, running_controller
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from grpc import aio

from controller.db import SqlDatabase
from controller.db.usage import MOST_SAMPLES
from controller.model import UsageSample


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data", usage_every_s=3.5) as running:
        yield running


def _said(second: int, **fields: Any) -> types_pb2.UsageSample:
    sample = types_pb2.UsageSample(**fields)
    sample.time.FromSeconds(second)
    return sample


def _sample(second: int, container: str = "c1", *, memory: int = 10, cpu: int | None = None) -> UsageSample:
    return UsageSample(records.at(second), second if cpu is None else cpu, memory, 2, container)


async def _usage(controller: ControllerUnderTest, execution_id: str) -> pb.GetUsageResponse:
    return await controller.executions.GetUsage(pb.GetUsageRequest(execution=execution_id))


async def test_usage_is_what_the_agent_reported(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    assert agent.settings["usage_every_s"] == 3.5
    assert not (await _usage(controller, execution_id)).samples
    await agent.report_usage(_said(1, cpu_us=5, memory_bytes=70, pids=2), _said(2, cpu_us=9, memory_bytes=60, pids=3))
    usage = await _usage(controller, execution_id)
    assert (usage.cpu_us, usage.peak_memory_bytes, usage.peak_pids) == (9, 70, 3)
    assert [(one.time.seconds, one.container) for one in usage.samples] == [(1, agent.agent_id), (2, agent.agent_id)]


async def test_report_of_many_or_odd_samples_is_cut(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.report_usage(*(_said(at, cpu_us=at, memory_bytes=-1) for at in range(100)))
    usage = await _usage(controller, execution_id)
    assert [one.time.seconds for one in usage.samples] == list(range(90, 100))
    assert usage.peak_memory_bytes == 0


async def test_usage_of_an_unknown_execution_is_not_found(controller: ControllerUnderTest) -> None:
    with pytest.raises(aio.AioRpcError) as raised:
        await _usage(controller, "nobody")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_report_without_a_token_is_refused(controller: ControllerUnderTest) -> None:
    _, agent = await controller.run()
    agent.metadata = (("authorization", "Bearer forged"),)
    with pytest.raises(aio.AioRpcError) as raised:
        await agent.report_usage(_said(1))
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_processor_time_is_counted_on_when_another_container_counts_anew(database: SqlDatabase) -> None:
    database.add_execution(records.execution(), records.FLOW)
    database.add_usage("e1", [_sample(1, cpu=100), _sample(2, cpu=150)])
    database.add_usage("e1", [_sample(3, cpu=170), _sample(4, "c2", cpu=30)])
    # More than the one before had: only its name tells that it is another one.
    database.add_usage("e1", [_sample(5, "c3", cpu=1000), _sample(6, "c3", cpu=900)])
    assert [one.cpu_us for one in database.usage("e1")] == [100, 150, 170, 200, 1200, 1200]


def test_samples_go_with_their_execution_and_later_ones_are_dropped(database: SqlDatabase) -> None:
    database.add_execution(records.execution(), records.FLOW)
    database.add_usage("e1", [_sample(1)])
    database.delete_execution("e1")
    database.add_usage("e1", [_sample(2)])
    assert database.usage("e1") == []


@pytest.mark.parametrize("containers", [1, 10_000])
def test_samples_are_thinned_when_there_are_too_many(database: SqlDatabase, containers: int) -> None:
    database.add_execution(records.execution(), records.FLOW)
    count = 3 * MOST_SAMPLES
    for first in range(0, count, 10):
        database.add_usage(
            "e1",
            [
                _sample(at, f"c{at % containers}", memory=9_000 if at == 77 else at, cpu=5 if containers > 1 else at)
                for at in range(first, first + 10)
            ],
        )
        assert len(database.usage("e1")) <= MOST_SAMPLES
    kept = database.usage("e1")
    assert len(kept) > MOST_SAMPLES // 3
    assert [one.time for one in kept] == sorted({one.time for one in kept})
    # The highest is never lost, nor is the newest.
    assert max(one.memory_bytes for one in kept) == 9_000
    assert (kept[-1].time, kept[-1].memory_bytes) == (records.at(count - 1), count - 1)
    assert kept[-1].cpu_us == (5 * count if containers > 1 else count - 1)
