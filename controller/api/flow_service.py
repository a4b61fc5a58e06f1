"""FlowService: pushed flows for clients."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from typing import Any

from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import control_pb2_grpc
from grpc import aio

from controller.api import pack
from controller.flows import Flows, file_name_of

Context = aio.ServicerContext[Any, Any]


class FlowService(control_pb2_grpc.FlowServiceServicer):
    """One method per RPC of flowsnap.v1.FlowService."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows

    async def PushFlow(self, request: pb.PushFlowRequest, context: Context) -> pb.PushFlowResponse:
        files = [pack.flow_file_from_proto(file) for file in request.files]
        release = await self._flows.push(request.name, request.script, request.script_file, files)
        return pb.PushFlowResponse(flow=pack.release(release))

    async def GetFlow(self, request: pb.GetFlowRequest, context: Context) -> pb.GetFlowResponse:
        release = await self._flows.release(request.name, request.number)
        flow = await self._flows.version(release.version)
        return pb.GetFlowResponse(
            flow=pack.release(release),
            script=flow.script,
            script_file=flow.name if flow.files else file_name_of(release.name),
            files=map(pack.flow_file, flow.files),
        )

    async def ListFlows(self, request: pb.ListFlowsRequest, context: Context) -> pb.ListFlowsResponse:
        page, token = await self._flows.page(request.name, request.page_size, request.page_token)
        return pb.ListFlowsResponse(flows=map(pack.release, page), next_page_token=token)

    async def DeleteFlow(self, request: pb.DeleteFlowRequest, context: Context) -> pb.DeleteFlowResponse:
        await self._flows.delete(request.name)
        return pb.DeleteFlowResponse()
