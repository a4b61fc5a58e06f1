"""The core's errors as gRPC status codes, and the interceptor that sends them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NoReturn

import grpc
from grpc import aio

from controller import errors

CODES: Mapping[type[errors.FlowsnapError], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DataLoss: grpc.StatusCode.DATA_LOSS,
    errors.Internal: grpc.StatusCode.INTERNAL,
}
# gRPC sends the words in a header, and peers drop a response with more than 8 KiB of headers; percent-encoding makes
# up to three bytes of one.
_WORDS_BYTES = 2048

_log = logging.getLogger(__name__)


async def abort(context: aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """End the RPC with the error's code and words."""
    if isinstance(error, errors.FlowsnapError):
        code, words = CODES.get(type(error), grpc.StatusCode.INTERNAL), str(error)
    else:
        _log.error("an RPC failed", exc_info=error)
        code = grpc.StatusCode.INTERNAL
        words = f"{type(error).__name__}: {error}; this is a bug, the controller's log has the details"
    await context.abort(code, _shortened(words))
    raise AssertionError("abort does not return")


class ErrorCodes(aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs alone
    """Wraps all methods of a server, so that servicers just let errors through."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                _unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                _stream(handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                _unary(handler.stream_unary), handler.request_deserializer, handler.response_serializer
            )
        return handler


def _unary(method: Any) -> Any:
    async def call(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await method(request, context)
        except (aio.AbortError, grpc.RpcError):
            raise
        except Exception as error:  # noqa: BLE001  every one of them has to become a status
            await abort(context, error)

    return call


def _stream(method: Any) -> Any:
    async def call(request: Any, context: aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            async for response in method(request, context):
                yield response
        except (aio.AbortError, grpc.RpcError):
            raise
        except Exception as error:  # noqa: BLE001  every one of them has to become a status
            await abort(context, error)

    return call


def _shortened(words: str) -> str:
    """The beginning says what failed, the end has the last lines of a log."""
    encoded = words.encode()
    if len(encoded) <= _WORDS_BYTES:
        return words
    half = _WORDS_BYTES // 2
    return f"{encoded[:half].decode(errors='ignore')} [...] {encoded[-half:].decode(errors='ignore')}"
