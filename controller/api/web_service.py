"""WebService: who may use the web page, for clients."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowsnap.v1 import web_pb2 as pb
from flowsnap.v1 import web_pb2_grpc
from grpc import aio

from controller.api.pack import timestamp
from controller.errors import FailedPrecondition
from controller.sessions import Sessions

Context = aio.ServicerContext[Any, Any]


class WebService(web_pb2_grpc.WebServiceServicer):
    """One method per RPC of flowsnap.v1.WebService. address: where the page is, empty without HTTP."""

    def __init__(self, sessions: Sessions, address: Callable[[], str]) -> None:
        self._sessions = sessions
        self._address = address

    async def CreateWebLink(self, request: pb.CreateWebLinkRequest, context: Context) -> pb.CreateWebLinkResponse:
        address = self._address()
        if not address:
            raise FailedPrecondition("this controller serves no HTTP; start it without --http-listen off")
        token, expires_at = await self._sessions.new_link()
        link = f"{address}/login?token={token}"
        return pb.CreateWebLinkResponse(address=address, link=link, expires_at=timestamp(expires_at))

    async def EndWebSessions(self, request: pb.EndWebSessionsRequest, context: Context) -> pb.EndWebSessionsResponse:
        return pb.EndWebSessionsResponse(ended=await self._sessions.end_all())
