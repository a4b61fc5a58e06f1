"""Connections through the real servers, with real connectors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from controller_under_test import ControllerUnderTest, running_controller
from fake_agent import FlowError
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from grpc import aio

from controller.connectors import connectors


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[ControllerUnderTest]:
    async with running_controller(tmp_path / "data", connectors=dict(connectors())) as running:
        yield running


async def save(controller: ControllerUnderTest, name: str, kind: str, value: Any, secrets: Any = None) -> None:
    connection = types_pb2.Connection(
        name=name,
        connector_type=kind,
        value_json=json.dumps(value).encode(),
        secrets_json=b"" if secrets is None else json.dumps(secrets).encode(),
    )
    await controller.connections.SaveConnection(pb.SaveConnectionRequest(connection=connection))


async def shown(controller: ControllerUnderTest, name: str) -> tuple[Any, Any]:
    """Value and secrets, as clients see them."""
    found = (await controller.connections.GetConnection(pb.GetConnectionRequest(name=name))).connection
    return json.loads(found.value_json), json.loads(found.secrets_json)


async def test_flow_may_refuse_redirects_with_a_connection_and_not_ask_for_them(
    controller: ControllerUnderTest,
) -> None:
    await save(controller, "api", "REST", {"base_url": "http://127.0.0.1:9"})
    _, agent = await controller.run()
    for following in (True, 0, None):
        with pytest.raises(FlowError, match="leave out follow_redirects"):
            await agent.call("connect", connection="api", inputs={"follow_redirects": following})
    with pytest.raises(FlowError, match=r"127\.0\.0\.1:9"):
        await agent.call("connect", connection="api", inputs={"follow_redirects": False})


async def test_secrets_are_neither_shown_nor_readable_on_disk_when_they_were_saved(
    controller: ControllerUnderTest,
) -> None:
    value = {"base_url": "http://ann:url-secret@x/", "method": "post", "password": "plain-secret"}
    await save(controller, "api", "REST", value, {"headers": {"X-Any": "header-secret"}})
    masked = dict.fromkeys(["base_url", "headers", "password"], "********")
    assert await shown(controller, "api") == ({"method": "post"}, masked)
    listed = (await controller.connections.ListConnections(pb.ListConnectionsRequest())).connections
    assert [one.name for one in listed] == ["api"]
    written = b"".join(path.read_bytes() for path in controller.config.data_dir.glob("flowsnap.db*"))
    for text in (written, listed[0].SerializeToString()):
        assert b"-secret" not in text


async def test_secrets_are_laid_over_the_value_and_calls_over_both(
    controller: ControllerUnderTest, tmp_path: Path
) -> None:
    for name in ("value", "secret"):
        with closing(sqlite3.connect(tmp_path / name)) as database, database:
            database.execute(f"CREATE TABLE t AS SELECT '{name}' AS name")
    await save(controller, "db", "SQLITE", {"timeout": 5}, {"path": str(tmp_path / "secret")})
    _, agent = await controller.run()
    query = {"fetchval": "SELECT name FROM t"}
    result = await agent.call("connect", connection="db", inputs=query)
    assert result["output_value"] == {"result": "secret"}
    result = await agent.call("connect", connection="db", inputs={"fetchval": "SELECT 'call'"})
    assert result["output_value"] == {"result": "call"}


async def test_secret_is_hidden_when_the_connectors_words_have_it(controller: ControllerUnderTest) -> None:
    await save(controller, "db", "SQLITE", {}, {"path": "/nowhere/hush-hush"})
    _, agent = await controller.run()
    with pytest.raises(FlowError) as raised:
        await agent.call("connect", connection="db", inputs={"fetch": "SELECT 1"})
    assert raised.value.type == "ConnectorError"
    assert str(raised.value) == "SQLITE: ********: fetch: unable to open database file"


@pytest.mark.parametrize(
    ("kind", "value", "secrets", "words"),
    [
        ("FAX", {}, None, "there is no connector type 'FAX'; there are FTP, GIT"),
        ("SSH", {"usrname": "a"}, None, "unknown input usrname"),
        ("SSH", {"port": "22"}, None, "input port must be an integer, not a text"),
        ("SSH", {"password": "a"}, {"password": "b"}, "in its value and in its secrets"),
        ("SSH", [], None, "no JSON object"),
    ],
)
async def test_connection_is_refused_when_its_type_can_not_use_it(
    controller: ControllerUnderTest, kind: str, value: Any, secrets: Any, words: str
) -> None:
    with pytest.raises(aio.AioRpcError) as raised:
        await save(controller, "x", kind, value, secrets)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in raised.value.details()


async def test_what_refused_is_told_when_a_connection_is_tested(
    controller: ControllerUnderTest, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "db")) as database, database:
        database.execute("CREATE TABLE t (n)")
    await save(controller, "db", "SQLITE", {"path": str(tmp_path / "db")})
    await controller.connections.TestConnection(pb.TestConnectionRequest(name="db"))
    await save(controller, "db", "SQLITE", {"path": str(tmp_path / "other")})
    with pytest.raises(aio.AioRpcError) as raised:
        await controller.connections.TestConnection(pb.TestConnectionRequest(name="db"))
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "connection 'db' does not work: SQLITE:" in raised.value.details()
    for ask in (controller.connections.TestConnection, controller.connections.GetConnection):
        request = pb.TestConnectionRequest if ask is controller.connections.TestConnection else pb.GetConnectionRequest
        with pytest.raises(aio.AioRpcError, match="there is no connection 'none'"):
            await ask(request(name="none"))


async def test_types_are_listed_with_their_inputs(controller: ControllerUnderTest) -> None:
    types = (await controller.connections.ListConnectorTypes(pb.ListConnectorTypesRequest())).types
    by_name = {one.name: one for one in types}
    assert set(by_name) == set(connectors())
    inputs = {one.name: one for one in by_name["SSH"].inputs}
    assert (inputs["host"].required, inputs["password"].secret, inputs["port"].default_json) == (True, True, b"22")
    assert inputs["hostkey"].type == "a text or a list"


async def test_connections_still_work_when_the_key_was_rotated(controller: ControllerUnderTest, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db")) as database, database:
        database.execute("CREATE TABLE t (n)")
    await save(controller, "db", "SQLITE", {}, {"path": str(tmp_path / "db")})
    await save(controller, "plain", "REST", {"base_url": "http://x"})
    before = controller.config.secrets_key.read_text()
    answer = await controller.connections.RotateSecretsKey(pb.RotateSecretsKeyRequest())
    assert answer.connections == 1
    after = controller.config.secrets_key.read_text()
    assert len(after.splitlines()) == 1
    assert after != before
    await controller.connections.TestConnection(pb.TestConnectionRequest(name="db"))


async def test_connections_are_still_listed_when_the_key_is_lost(tmp_path: Path) -> None:
    async with running_controller(tmp_path / "data", connectors=dict(connectors())) as first:
        await save(first, "db", "SQLITE", {}, {"path": "/x"})
    (tmp_path / "data" / "secrets.key").unlink()
    async with running_controller(tmp_path / "data", connectors=dict(connectors())) as second:
        assert await shown(second, "db") == ({}, {"?": "********"})
        with pytest.raises(aio.AioRpcError, match="put that file back from a backup"):
            await second.connections.TestConnection(pb.TestConnectionRequest(name="db"))


async def test_flow_saves_sees_and_deletes_connections(controller: ControllerUnderTest) -> None:
    _, agent = await controller.run()
    value = {"base_url": "http://x", "password": "hush-hush"}
    await agent.call("connection_save", name="api", connection_type="REST", value=value, secrets=None)
    assert await agent.call("connection_exists", name="api") is True
    assert await agent.call("connection_get", name="api") == {
        "name": "api",
        "connection_type": "REST",
        "value": {"base_url": "http://x", "password": "********"},
    }
    await agent.call("connection_delete", name="api")
    assert await agent.call("connection_exists", name="api") is False
    for name, arguments, error in (
        ("connection_get", {"name": "api"}, "ResourceNotFoundError"),
        ("connection_save", {"name": "x", "connection_type": "FAX"}, "InvalidInputError"),
        ("connection_save", {"name": "x"}, "MissingInputError"),
    ):
        with pytest.raises(FlowError) as raised:
            await agent.call(name, **arguments)
        assert raised.value.type == error
