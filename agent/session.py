"""The talk with the controller: one channel, each RPC repeated until a controller answers.

An answer that is an error is raised as ControllerRefused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc
import grpc.aio
from flowsnap.v1 import agent_pb2 as pb
from flowsnap.v1 import agent_pb2_grpc

import faults
from agent.errors import CommitFailed, ControllerRefused
from agent.paths import CONTROLLER_SOCKET

_T = TypeVar("_T")

_MAX_MESSAGE_BYTES = 80 << 20
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_USAGE_LIMIT_S = 2.0
# A controller that is stopped or restarts answers with these; everything else is an answer.
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
# The controller's disk is full. What it records by itself is asked for again until there is room.
_FULL = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED})

_log = logging.getLogger(__name__)


class Session:
    """Use from one event loop."""

    def __init__(self, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._channel = grpc.aio.insecure_channel(
            f"unix:{CONTROLLER_SOCKET}",
            options=[
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 1000),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self._stub = agent_pb2_grpc.AgentServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close(None)

    async def commands(self, describe: Callable[[], pb.AttachRequest]) -> AsyncIterator[pb.Command]:
        """Commands, for ever: attaches again when the stream ends. Raises ControllerRefused."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async for command in self._stub.Attach(describe(), metadata=self._metadata):
                    pause = _FIRST_PAUSE_S
                    yield command
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AWAY:
                    raise ControllerRefused(error.details() or str(error.code())) from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def call(self, request: pb.CallRequest) -> pb.CallResponse:
        """Until done. The journal joins a repeated request to the first."""
        faults.reach("agent.call.before")
        response = await self._insist(lambda: self._stub.Call(request, metadata=self._metadata), _AWAY | _FULL)
        faults.reach("agent.call.after")
        return response

    async def commit(self, request: pb.CommitSavepointRequest) -> pb.CommitSavepointResponse:
        """Raises CommitFailed with the controller's words."""
        try:
            return await self._insist(lambda: self._stub.CommitSavepoint(request, metadata=self._metadata))
        except ControllerRefused as error:
            raise CommitFailed(str(error)) from error

    async def append_log(self, request: pb.AppendLogRequest) -> None:
        await self._insist(lambda: self._stub.AppendLog(request, metadata=self._metadata), _AWAY | _FULL)

    async def report_command(self, request: pb.ReportCommandRequest) -> None:
        await self._insist(lambda: self._stub.ReportCommand(request, metadata=self._metadata))

    async def report_exit(self, request: pb.ReportExitRequest) -> None:
        await self._insist(lambda: self._stub.ReportExit(request, metadata=self._metadata), _AWAY | _FULL)

    async def report_usage(self, request: pb.ReportUsageRequest) -> None:
        """Once: what is not heard is not missed."""
        try:
            await self._stub.ReportUsage(request, metadata=self._metadata, timeout=_USAGE_LIMIT_S)
        except grpc.aio.AioRpcError as error:
            _log.debug("usage was not reported: %s", error.details())

    async def _insist(self, attempt: Callable[[], Awaitable[_T]], passing: frozenset[grpc.StatusCode] = _AWAY) -> _T:
        """Repeat the attempt while it fails with what passes by itself."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await attempt()
            except grpc.aio.AioRpcError as error:
                if error.code() not in passing:
                    raise ControllerRefused(error.details() or str(error.code())) from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
