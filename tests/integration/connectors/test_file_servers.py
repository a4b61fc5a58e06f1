"""FTP, WEBDAV and S3 on real servers."""

from __future__ import annotations

from typing import Any

import boto3
import httpx
import pytest
from connector_servers import HOST, PASSWORD, USER, Endpoint, call, free_port, refusal


@pytest.fixture(params=["FTP", "WEBDAV"])
def files(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A type, and the inputs that lead to its server."""
    if request.param == "FTP":
        return "FTP", request.getfixturevalue("ftp_server")()
    server: Endpoint = request.getfixturevalue("webdav_server")
    return "WEBDAV", {"base_url": f"http://{HOST}:{server.port}/", "username": USER, "password": PASSWORD}


async def test_files_are_kept_on_the_server_when_they_are_put_there(files: tuple[str, dict[str, Any]]) -> None:
    kind, where = files
    rename, remove = ("rename", "rmdir") if kind == "FTP" else ("move", "delete")

    async def ask(action: str, path: str, **inputs: Any) -> dict[str, Any]:
        return await call(kind, **where, action=action, path=path, **inputs)

    await ask("mkdir", "für alle")
    await ask("put", "für alle/a.txt", content="grün")
    await ask("put", "für alle/a.txt", content={"base64": "AP8="})
    assert (await ask("get", "für alle/a.txt", binary=True))["content"] == {"base64": "AP8="}
    assert "not UTF-8" in (await refusal(kind, **where, path="für alle/a.txt"))[1]
    await ask(rename, "für alle/a.txt", to="für alle/ü.txt")
    [entry] = (await ask("list", "für alle"))["entries"]
    assert (entry["name"], entry["type"], entry["size"]) == ("ü.txt", "file", 2)
    assert entry["modified"].startswith("20")
    [folder] = (await ask("list", ""))["entries"] if kind == "WEBDAV" else (await ask("list", "."))["entries"]
    assert (folder["name"], folder["type"]) == ("für alle", "folder")
    await ask("delete", "für alle/ü.txt")
    await ask(remove, "für alle")
    assert (
        "550" in (await refusal(kind, **where, path="no"))[1] or "404" in (await refusal(kind, **where, path="no"))[1]
    )


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        ({"password": "wrong-one"}, "ConnectorError", ("logging in", "401")),
        ({"action": "put"}, "MissingInputError", ("content is required for put",)),
        ({"action": "fly"}, "InvalidInputError", ("action must be one of",)),
    ],
)
async def test_what_is_wrong_is_named_when_a_file_server_refuses(
    files: tuple[str, dict[str, Any]], inputs: dict[str, Any], error: str, words: tuple[str, ...]
) -> None:
    kind, where = files
    found, message = await refusal(kind, **{**where, "path": "x", **inputs})
    assert (found, any(word in message for word in words)) == (error, True), message


async def test_other_commands_are_not_smuggled_in_when_a_path_has_a_line_break(ftp_server: Endpoint) -> None:
    assert "one line" in (await refusal("FTP", **ftp_server(), path="x\r\nDELE y"))[1]


@pytest.fixture
def bucket(s3_server: str) -> dict[str, Any]:
    name = f"bucket-{free_port()}"
    where = {"region_name": "us-east-1", "aws_access_key_id": "id", "aws_secret_access_key": PASSWORD}
    boto3.client("s3", endpoint_url=s3_server, **where).create_bucket(Bucket=name)
    return {"endpoint_url": s3_server, "access_key_id": "id", "secret_access_key": PASSWORD, "bucket": name}


async def test_objects_are_kept_in_the_bucket_when_they_are_put_there(bucket: dict[str, Any]) -> None:
    async def s3(action: str, **inputs: Any) -> dict[str, Any]:
        return await call("S3", **bucket, action=action, **inputs)

    await s3("put", key="a/ü", content="grün", content_type="text/plain", metadata={"by": "flow"})
    found = await s3("get", key="a/ü")
    assert (found["content"], found["content_type"], found["metadata"]) == ("grün", "text/plain", {"by": "flow"})
    assert "content" not in await s3("head", key="a/ü")
    await s3("copy", key="a/ü", to="b")
    await s3("put", key="raw", content={"base64": "AP8="})
    assert [one["key"] for one in (await s3("list"))["objects"]] == ["a/ü", "b", "raw"]
    assert [one["key"] for one in (await s3("list", prefix="a/"))["objects"]] == ["a/ü"]
    assert len((await s3("list", limit=2))["objects"]) == 2
    assert (await s3("get", key="raw", binary=True))["content"] == {"base64": "AP8="}
    url = (await s3("presign", key="a/ü", expires=60))["url"]
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).text == "grün"
    await s3("delete", key="b")
    assert "NoSuchKey" in (await refusal("S3", **bucket, key="b"))[1]


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        ({"bucket": "none"}, "ConnectorError", "NoSuchBucket"),
        ({"action": "get"}, "MissingInputError", "key is required for get"),
    ],
)
async def test_what_is_wrong_is_named_when_a_bucket_refuses(
    bucket: dict[str, Any], inputs: dict[str, Any], error: str, words: str
) -> None:
    found, message = await refusal("S3", **{**bucket, "action": "list", **inputs})
    assert (found, words in message) == (error, True), message


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("FTP", {"host": HOST, "port": 0, "path": "x"}),
        ("WEBDAV", {"base_url": "http://127.0.0.1:0"}),
        ("S3", {"endpoint_url": "http://127.0.0.1:0", "bucket": "bucket", "action": "list"}),
    ],
)
async def test_connecting_is_tried_again_when_no_file_server_listens(kind: str, inputs: dict[str, Any]) -> None:
    port = free_port()
    there = {key: port if key == "port" else str(value).replace(":0", f":{port}") for key, value in inputs.items()}
    assert "(after 2 attempts)" in (await refusal(kind, **there, retries=1, retry_backoff=0))[1]
