"""WebhookService: webhooks for clients; a key goes out once."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc
from grpc import aio

from controller.api.pack import timestamp
from controller.model import Webhook
from controller.webhooks import NewWebhook, Webhooks

Context = aio.ServicerContext[Any, Any]


class WebhookService(platform_pb2_grpc.WebhookServiceServicer):
    """One method per RPC of flowsnap.v1.WebhookService. base_url: where webhooks are called, empty without HTTP."""

    def __init__(self, webhooks: Webhooks, base_url: Callable[[], str]) -> None:
        self._webhooks = webhooks
        self._base_url = base_url

    async def SaveWebhook(self, request: pb.SaveWebhookRequest, context: Context) -> pb.SaveWebhookResponse:
        given = request.webhook
        new = NewWebhook(
            name=given.name,
            flow_name=given.flow_name,
            script=given.script,
            synchronous=given.synchronous,
            timeout_s=given.timeout_s,
            new_key=request.new_key,
        )
        webhook, key = await self._webhooks.save(new)
        return pb.SaveWebhookResponse(webhook=self._webhook(webhook), key=key)

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: Context) -> pb.ListWebhooksResponse:
        return pb.ListWebhooksResponse(webhooks=map(self._webhook, await self._webhooks.list()))

    async def DeleteWebhook(self, request: pb.DeleteWebhookRequest, context: Context) -> pb.DeleteWebhookResponse:
        await self._webhooks.delete(request.name)
        return pb.DeleteWebhookResponse()

    def _webhook(self, value: Webhook) -> pb.Webhook:
        base_url = self._base_url()
        return pb.Webhook(
            name=value.name,
            flow_name=value.flow_name,
            script=value.script,
            synchronous=value.synchronous,
            timeout_s=value.timeout_s,
            created_at=timestamp(value.created_at),
            url=f"{base_url}/{quote(value.name, safe='')}" if base_url else "",
        )
