"""MessageService: messages for those who answer them."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from typing import Any

from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc
from grpc import aio

from controller.api.pack import timestamp
from controller.messages import Messages
from controller.model import Filter, Message

Context = aio.ServicerContext[Any, Any]

_OPEN = Filter("status", "eq", "OPEN")


class MessageService(platform_pb2_grpc.MessageServiceServicer):
    """One method per RPC of flowsnap.v1.MessageService."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> pb.ListMessagesResponse:
        found, following = await self._messages.list(_OPEN if request.open_only else None, request.page_token)
        return pb.ListMessagesResponse(messages=map(_outline, found), next_page_token=following)

    async def GetMessage(self, request: pb.GetMessageRequest, context: Context) -> pb.GetMessageResponse:
        return pb.GetMessageResponse(message=_message(await self._messages.get(request.id)))

    async def AnswerMessage(self, request: pb.AnswerMessageRequest, context: Context) -> pb.AnswerMessageResponse:
        answered = await self._messages.answer(request.id, request.response_json, request.answered_by)
        return pb.AnswerMessageResponse(message=_message(answered))

    async def DeleteMessage(self, request: pb.DeleteMessageRequest, context: Context) -> pb.DeleteMessageResponse:
        await self._messages.delete(request.id)
        return pb.DeleteMessageResponse()


def _outline(message: Message) -> pb.Message:
    """Without what may be large."""
    return pb.Message(
        id=message.id,
        execution_id=message.execution_id,
        subject=message.subject,
        created_at=timestamp(message.created_at),
        answered_at=timestamp(message.answered_at),
        answered_by=message.answered_by,
    )


def _message(message: Message) -> pb.Message:
    whole = _outline(message)
    whole.body_json = message.body
    whole.response_json = message.response or b""
    return whole
