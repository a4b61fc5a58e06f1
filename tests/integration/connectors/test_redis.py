"""REDIS on a real server."""

from __future__ import annotations

from typing import Any

import pytest
from connector_servers import Endpoint, call, free_port, refusal


async def test_values_come_back_when_they_were_set(redis_server: Endpoint) -> None:
    async def redis(command: str, *args: Any) -> Any:
        return (await call("REDIS", **redis_server(), command=command, args=list(args)))["result"]

    await redis("SET", "greeting", "grüß 1")
    assert await redis("GET", "greeting") == "grüß 1"
    assert await redis("INCRBY", "counter", 5) == 5
    await redis("SET", "raw", {"base64": "AP8="})
    assert await redis("GET", "raw") == {"base64": "AP8="}
    await redis("HSET", "hash", "a", 1, "b", 2.5)
    assert await redis("HGETALL", "hash") == {"a": "1", "b": "2.5"}
    assert await redis("GET", "none") is None


async def test_all_or_nothing_is_done_when_several_commands_are_given(redis_server: Endpoint) -> None:
    commands = [["SET", "t", 1], ["INCR", "t"], ["GET", "t"]]
    assert (await call("REDIS", **redis_server(), commands=commands))["result"][1:] == [2, "2"]


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({"command": "NONSENSE"}, "ConnectorError", "unknown command"),
        ({"command": "SUBSCRIBE", "args": ["x"]}, "InvalidInputError", "never ends"),
        ({"command": "SET", "args": [None]}, "InvalidInputError", "argument 1"),
        ({"commands": []}, "InvalidInputError", "must not be empty"),
        ({}, "MissingInputError", "command, commands"),
        ({"command": "PING", "password": "wrong-one"}, "ConnectorError", "logging in"),
    ],
)
async def test_input_or_servers_words_are_named_when_it_is_refused(
    redis_server: Endpoint, inputs: dict[str, Any], kind: str, words: str
) -> None:
    found, message = await refusal("REDIS", **{**redis_server(), **inputs})
    assert (found, words in message) == (kind, True), message


async def test_connecting_is_tried_again_when_nobody_listens() -> None:
    _, message = await refusal("REDIS", port=free_port(), command="PING", retries=1, retry_backoff=0)
    assert "connecting (after 2 attempts)" in message


async def test_limit_is_named_when_a_command_blocks(redis_server: Endpoint) -> None:
    _, message = await refusal("REDIS", **redis_server(), command="BLPOP", args=["empty", 0], timeout=0.3)
    assert "imeout" in message
