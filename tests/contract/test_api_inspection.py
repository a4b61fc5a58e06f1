"""InspectSavepoint and DiffSavepoints through the real servers: what they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from controller_under_test import ControllerUnderTest, running_controller
from flowsnap.v1 import control_pb2 as pb
from grpc import aio


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data") as running:
        yield running


async def test_file_is_named_when_the_image_is_not_what_an_agent_writes(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    request = pb.InspectSavepointRequest(execution=execution_id, savepoint=pb.SavepointSelector(name="a"))
    with pytest.raises(aio.AioRpcError, match=r"savepoint\.json: the image hasn't that file") as error:
        await controller.savepoints.InspectSavepoint(request)
    assert error.value.code() is grpc.StatusCode.DATA_LOSS


@pytest.mark.parametrize("after", [pb.SavepointSelector(id="7"), pb.SavepointSelector(name="none")])
async def test_savepoint_is_not_found_when_there_is_none(
    controller: ControllerUnderTest, after: pb.SavepointSelector
) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    request = pb.DiffSavepointsRequest(execution=execution_id, before=pb.SavepointSelector(id="1"), after=after)
    with pytest.raises(aio.AioRpcError) as error:
        await controller.savepoints.DiffSavepoints(request)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_second_savepoint_is_asked_for_when_it_is_not_named(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    await agent.call("create_dump", name="a")
    request = pb.DiffSavepointsRequest(execution=execution_id, before=pb.SavepointSelector(id="1"))
    with pytest.raises(aio.AioRpcError) as error:
        await controller.savepoints.DiffSavepoints(request)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
