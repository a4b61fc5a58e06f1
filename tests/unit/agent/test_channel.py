"""The pipes between flow and agent: frames in pieces, and what is in flight at the instant of a dump."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.channel import Channel, Frame, InFlight, encode
from agent.pipes import Pipes


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    opened = Pipes.open()
    yield opened
    for fd in (*opened.flow_ends().values(), opened.ours_stdout, opened.ours_stderr):
        os.close(fd)


def call(seq: int) -> dict[str, object]:
    return {"seq": seq, "name": "log", "file": "flow.py", "line": 1, "function": "handler", "ordered": False}


async def test_a_frame_is_whole_when_it_comes_in_pieces(pipes: Pipes) -> None:
    frames: list[Frame] = []
    channel = Channel(pipes, frames.append)
    channel.start()
    data = encode(call(1), b'{"args":[1]}') + encode(call(2), b"{}")
    for at in range(0, len(data), 7):
        os.write(pipes.flow_calls, data[at : at + 7])
        await asyncio.sleep(0)
    channel.drain()
    assert [(frame.header["seq"], frame.body) for frame in frames] == [(1, b'{"args":[1]}'), (2, b"{}")]
    channel.close()


async def test_what_the_flow_had_not_read_is_in_flight_and_reaches_the_restored_one(pipes: Pipes) -> None:
    channel = Channel(pipes, lambda _: None)
    channel.start()
    reply = encode({"seq": 1}, b'"' + b"x" * 100_000 + b'"')
    channel.send({"seq": 1}, b'"' + b"x" * 100_000 + b'"')
    read = os.read(pipes.flow_replies, 1000)
    in_flight = channel.in_flight()
    assert read + in_flight.undelivered == reply
    channel.close()

    restored_pipes = Pipes.open()
    restored = Channel(restored_pipes, lambda _: None, InFlight.from_json(in_flight.to_json()))
    restored.start()
    received = read
    os.set_blocking(restored_pipes.flow_replies, False)
    while len(received) < len(reply):
        await asyncio.sleep(0)
        with contextlib.suppress(BlockingIOError):
            received += os.read(restored_pipes.flow_replies, 65536)
    assert received == reply
    restored.close()
    for fd in (*restored_pipes.flow_ends().values(), restored_pipes.ours_stdout, restored_pipes.ours_stderr):
        os.close(fd)


async def test_half_a_frame_that_the_flow_was_writing_is_in_flight(pipes: Pipes) -> None:
    data = encode(call(5), b"{}")
    channel = Channel(pipes, lambda _: None)
    channel.start()
    os.write(pipes.flow_calls, data[:11])
    in_flight = channel.in_flight()
    assert in_flight.unparsed == data[:11]
    channel.close()

    restored_pipes = Pipes.open()
    frames: list[Frame] = []
    restored = Channel(restored_pipes, frames.append, in_flight)
    restored.start()
    os.write(restored_pipes.flow_calls, data[11:])
    restored.drain()
    assert [frame.header["seq"] for frame in frames] == [5]
    restored.close()
    for fd in (*restored_pipes.flow_ends().values(), restored_pipes.ours_stdout, restored_pipes.ours_stderr):
        os.close(fd)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\xff" * 64,
        b"\x05\x00\x00\x00\x01\x00\x00\x00{",
        b"\x06\x00\x00\x00\x02\x00\x00\x00[]",
        b"\x04\x00\x00\x00\xff\xff\xff\xff",
    ],
)
async def test_rubbish_breaks_the_channel_and_nothing_else(pipes: Pipes, rubbish: bytes) -> None:
    frames: list[Frame] = []
    channel = Channel(pipes, frames.append)
    channel.start()
    os.write(pipes.flow_calls, rubbish)
    channel.drain()
    assert [frame.header["end"] for frame in frames] == ["broken"]
    channel.close()


@given(st.lists(st.binary(max_size=200), max_size=20), st.data())
def test_frames_are_the_same_wherever_the_pipe_cuts_them(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(encode(call(number), body) for number, body in enumerate(bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))

    async def run() -> list[bytes]:
        pipes = Pipes.open()
        frames: list[Frame] = []
        channel = Channel(pipes, frames.append)
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            os.write(pipes.flow_calls, stream[begin:end])
            channel.drain()
        channel.start()
        channel.close()
        for fd in (*pipes.flow_ends().values(), pipes.ours_stdout, pipes.ours_stderr):
            os.close(fd)
        return [frame.body for frame in frames]

    assert asyncio.run(run()) == bodies
