"""FileService: files for clients."""

# Method names and arguments are the contract's.
# ruff: noqa: ARG002, N802

from __future__ import annotations

from typing import Any

from flowsnap.v1 import platform_pb2 as pb
from flowsnap.v1 import platform_pb2_grpc
from grpc import aio

from controller.api.pack import timestamp
from controller.files import Files
from controller.model import FileInfo

Context = aio.ServicerContext[Any, Any]


class FileService(platform_pb2_grpc.FileServiceServicer):
    """One method per RPC of flowsnap.v1.FileService."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def PutFile(self, request: pb.PutFileRequest, context: Context) -> pb.PutFileResponse:
        await self._files.put(request.name, request.content)
        return pb.PutFileResponse()

    async def GetFile(self, request: pb.GetFileRequest, context: Context) -> pb.GetFileResponse:
        info, content = await self._files.get(request.name)
        return pb.GetFileResponse(file=_file(info), content=content)

    async def ListFiles(self, request: pb.ListFilesRequest, context: Context) -> pb.ListFilesResponse:
        found, following = await self._files.list(None, request.page_token)
        return pb.ListFilesResponse(files=map(_file, found), next_page_token=following)

    async def DeleteFile(self, request: pb.DeleteFileRequest, context: Context) -> pb.DeleteFileResponse:
        await self._files.delete(request.name)
        return pb.DeleteFileResponse()


def _file(info: FileInfo) -> pb.File:
    return pb.File(
        name=info.name,
        size_bytes=info.size_bytes,
        created_at=timestamp(info.created_at),
        modified_at=timestamp(info.modified_at),
    )
