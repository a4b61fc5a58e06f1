"""Export and import through the real servers: from one controller to another, by their files alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from blake3 import blake3
from controller_under_test import ControllerUnderTest, running_controller
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from grpc import aio
from zstandard import ZstdCompressor, ZstdDecompressor

FILES = [types_pb2.FlowFile(path="helper.py", content=b"x = 1\n"), types_pb2.FlowFile(path="raw", content=b"\xff\0")]


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data") as running:
        yield running


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "other") as running:
        yield running


async def come_about(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  it is about files
            await asyncio.sleep(0.01)


async def export(controller: ControllerUnderTest, execution_id: str, **fields: Any) -> bytes:
    responses = controller.savepoints.ExportSavepoint(pb.ExportSavepointRequest(execution=execution_id, **fields))
    return b"".join([response.data async for response in responses])


async def import_(controller: ControllerUnderTest, content: bytes, name: str = "") -> pb.ImportSavepointResponse:
    def requests() -> Iterable[pb.ImportSavepointRequest]:
        yield pb.ImportSavepointRequest(name=name)
        for begin in range(0, len(content), 1000):
            yield pb.ImportSavepointRequest(data=content[begin : begin + 1000])

    return await controller.savepoints.ImportSavepoint(requests())


async def exported(controller: ControllerUnderTest) -> tuple[str, bytes]:
    """An execution that had its savepoint exported, and the file."""
    execution_id, agent = await controller.run(input_value_json=b'{"a": 1}', files=FILES, name="mover")
    agent.memory["data"] = "fetched"
    await agent.call("set_output", items={"x": 1})
    await agent.call("create_dump", name="here")
    return execution_id, await export(controller, execution_id, savepoint=pb.SavepointSelector(name="here"))


def altered(content: bytes, **changes: Any) -> bytes:
    """The file with other fields in its record, and a right hash."""
    body = ZstdDecompressor().stream_reader(content[12:-32]).read()
    length = int.from_bytes(body[:4], "little")
    header = json.loads(body[4 : 4 + length])
    for path, value in changes.items():
        part, _, field = path.partition("__")
        if field:
            header["record"][part][field] = value
        else:
            header["record"][part] = value
    text = json.dumps(header).encode()
    whole = content[:12] + ZstdCompressor().compress(len(text).to_bytes(4, "little") + text + body[4 + length :])
    return whole + blake3(whole).digest()


async def test_an_execution_goes_on_elsewhere_from_its_exported_savepoint(
    controller: ControllerUnderTest, other: ControllerUnderTest
) -> None:
    execution_id, content = await exported(controller)
    source = await controller.show(execution_id)
    (_, savepoint) = await controller.list_savepoints(execution_id)
    await controller.executions.DeleteExecution(pb.DeleteExecutionRequest(execution=execution_id, force=True))

    imported = await import_(other, content)

    assert (imported.execution.id, imported.original_id, imported.execution.name) == (
        execution_id,
        execution_id,
        "mover",
    )
    assert imported.execution.status == types_pb2.EXECUTION_STATUS_ENDED_CANCELLED
    assert "imported" in imported.execution.message
    assert json.loads(imported.execution.input_value_json) == {"a": 1}
    assert json.loads(imported.execution.output_value_json) == {"x": 1}
    assert imported.execution.created_at == source.created_at
    assert not imported.execution.HasField("forked_from")
    assert (imported.execution.branch, imported.execution.head_savepoint_id) == (1, savepoint.id)
    (arrived,) = await other.list_savepoints(execution_id)
    for field in ("id", "number", "name", "kind", "call", "line", "created_at", "raw_bytes"):
        assert getattr(arrived, field) == getattr(savepoint, field), field
    shown = await other.executions.GetExecution(pb.GetExecutionRequest(execution=execution_id))
    assert list(shown.files) == FILES
    assert shown.execution.flow_version == source.flow_version
    assert not other.launcher.agents

    loaded = await other.load(execution_id, name="here")
    agent = await other.launcher.agent(execution_id)
    assert agent.memory == {"data": "fetched"}
    assert await agent.redone.get() == savepoint.id
    assert (loaded.execution.branch, loaded.execution.load_count) == (2, 1)
    assert (await other.log(execution_id))[0].text.startswith("--- imported: savepoint 2")
    await agent.call("create_dump", name="next")
    assert [one.number for one in await other.list_savepoints(execution_id)] == [2, 3]
    undone = await other.undo(execution_id)
    assert undone.execution.status == types_pb2.EXECUTION_STATUS_ENDED_CANCELLED
    await come_about(lambda: not list(other.config.transfers.iterdir()))


async def test_an_import_is_a_fork_where_the_id_is_taken(controller: ControllerUnderTest) -> None:
    execution_id, content = await exported(controller)
    imported = await import_(controller, content, name="second")
    assert imported.execution.id != execution_id
    assert (imported.original_id, imported.execution.name) == (execution_id, "second")
    assert imported.savepoint.id != imported.execution.forked_from.savepoint_id
    assert imported.execution.forked_from.execution_id == execution_id
    await controller.load(imported.execution.id, id="2")
    agent = await controller.launcher.agent(imported.execution.id)
    assert await agent.redone.get() == imported.savepoint.id
    assert agent.restored is not None
    assert agent.restored["fork"] == imported.execution.id
    third = await import_(controller, content)
    assert third.execution.id not in {execution_id, imported.execution.id}


async def test_a_file_that_is_damaged_is_refused_and_leaves_nothing(
    controller: ControllerUnderTest, other: ControllerUnderTest
) -> None:
    _, content = await exported(controller)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for bad in (b"", content[:-1], content[: len(content) // 2], bytes(flipped), content + b"\0", b"PK" + content):
        with pytest.raises(aio.AioRpcError) as raised:
            await import_(other, bad)
        assert raised.value.code() is grpc.StatusCode.DATA_LOSS
        assert "the import was refused" in (raised.value.details() or "")
    await nothing_is_left(other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "format 2"),
        ({"execution": None}, "no execution"),
        ({"execution__id": "../../etc"}, "execution.id"),
        ({"execution__id": 7}, "execution.id"),
        ({"execution__name": "a\nb"}, "control characters"),
        ({"execution__pids_limit": -1}, "execution.pids_limit"),
        ({"execution__memory_limit_bytes": True}, "execution.memory_limit_bytes"),
        ({"execution__created_at": "2026-01-01"}, "execution.created_at"),
        ({"execution__type": "TASKS"}, "execution.type"),
        ({"execution__forked_from": {"execution_id": 1}}, "forked_from.execution_id"),
        ({"flow__script": "def handler(system, this):\n    pass\n"}, "not of the version"),
        ({"flow__script": "1 +"}, "correct the script"),
        ({"flow__files": {"../x": ""}}, "plain relative path"),
        ({"flow__files": {"x": "%"}}, "flow.files"),
        ({"savepoint__id": "sp-/"}, "savepoint.id"),
        ({"savepoint__number": 0}, "savepoint.number"),
        ({"savepoint__kind": "OTHER"}, "savepoint.kind"),
    ],
)
async def test_a_file_is_refused_when_its_record_makes_no_sense(
    controller: ControllerUnderTest, other: ControllerUnderTest, changes: dict[str, Any], words: str
) -> None:
    _, content = await exported(controller)
    with pytest.raises(aio.AioRpcError) as raised:
        await import_(other, altered(content, **changes))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in (raised.value.details() or "")
    await nothing_is_left(other)


async def nothing_is_left(controller: ControllerUnderTest) -> None:
    listed = await controller.executions.ListExecutions(pb.ListExecutionsRequest())
    assert not listed.executions
    assert not list((controller.config.store / "manifests").iterdir())
    await come_about(lambda: not list(controller.config.transfers.glob("*")))


async def test_an_upload_that_breaks_off_leaves_nothing(
    controller: ControllerUnderTest, other: ControllerUnderTest
) -> None:
    _, content = await exported(controller)
    call = other.savepoints.ImportSavepoint()
    await call.write(pb.ImportSavepointRequest(data=content[:-100]))
    await come_about(lambda: list(other.config.transfers.glob("*/file.fsnap")))
    call.cancel()
    await nothing_is_left(other)


async def test_an_export_says_what_it_lacks(controller: ControllerUnderTest) -> None:
    execution_id, agent = await controller.run()
    with pytest.raises(aio.AioRpcError) as raised:
        await export(controller, execution_id)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    await agent.call("create_dump", name="here")
    for pack in (controller.config.store / "packs").iterdir():
        pack.unlink()
    with pytest.raises(aio.AioRpcError) as raised:
        await export(controller, execution_id)
    assert raised.value.code() is grpc.StatusCode.DATA_LOSS
    with pytest.raises(aio.AioRpcError) as raised:
        await export(controller, execution_id, savepoint=pb.SavepointSelector(name="nowhere"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_image_that_is_missing_is_named_with_the_way_out_when_an_import_is_loaded(
    controller: ControllerUnderTest, other: ControllerUnderTest
) -> None:
    execution_id, content = await exported(controller)
    await import_(
        other, altered(content, execution__container_image="missing", execution__container_image_name="my/image:1")
    )
    other.launcher.missing = {"missing"}
    with pytest.raises(aio.AioRpcError) as raised:
        await other.load(execution_id, name="here")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    for words in ("missing", "my/image:1", "docker save", "docker load"):
        assert words in (raised.value.details() or "")
    assert (await other.show(execution_id)).status == types_pb2.EXECUTION_STATUS_ENDED_CANCELLED


async def test_what_transfers_of_a_killed_controller_left_is_swept_up(tmp_path: Path) -> None:
    left = tmp_path / "data" / "transfers" / "some" / "image"
    left.mkdir(parents=True)
    async with running_controller(tmp_path / "data") as running:
        assert not left.exists()
        _, content = await exported(running)
        assert content
