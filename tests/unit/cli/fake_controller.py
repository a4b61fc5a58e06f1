"""A controller with scripted answers over a real unix socket; as a program, what `snapctl up` starts in tests."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from flowsnap.v1 import control_pb2, platform_pb2, retention_pb2, web_pb2
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from controller.config import Config

# What a method does with a request: a response, or several when it streams.
Answer = Callable[[Any, grpc.ServicerContext], Any]


class FakeController:
    """Answers every method of the contract with an empty response until told otherwise; remembers the requests."""

    def __init__(self, data_dir: Path) -> None:
        self.config = Config(data_dir=data_dir)
        self.requests: list[tuple[str, Any]] = []
        self._answers: dict[str, Answer] = {}
        self._server = grpc.server(
            ThreadPoolExecutor(8),
            options=[("grpc.max_receive_message_length", 64 * 2**20), ("grpc.max_send_message_length", 64 * 2**20)],
        )
        for file in (control_pb2, platform_pb2, retention_pb2, web_pb2):
            for service in file.DESCRIPTOR.services_by_name.values():
                handlers = {method.name: self._handler(method) for method in service.methods}
                handler = grpc.method_handlers_generic_handler(service.full_name, handlers)
                self._server.add_generic_rpc_handlers((handler,))
        self.health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self.config.control_socket.parent.mkdir(parents=True, exist_ok=True)
        self._server.add_insecure_port(f"unix:{self.config.control_socket}")

    def start(self) -> None:
        self._server.start()
        self.health.set("", health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> None:
        self._server.stop(grace=0.2).wait()

    def answer(self, method: str, *responses: Any) -> None:
        """Each call gets these: one for a unary method, all of them for a stream."""
        self._answers[method] = lambda _request, _context: iter(responses)

    def handle(self, method: str, answer: Callable[[Any, grpc.ServicerContext], Iterator[Any]]) -> None:
        """Each call is answered by the function, which yields responses."""
        self._answers[method] = answer

    def refuse(self, method: str, code: grpc.StatusCode, details: str) -> None:
        def abort(_request: Any, context: grpc.ServicerContext) -> Any:
            context.abort(code, details)

        self._answers[method] = abort

    def requests_of(self, method: str) -> list[Any]:
        return [request for name, request in self.requests if name == method]

    def _handler(self, method: Any) -> grpc.RpcMethodHandler:
        request_type, response_type = GetMessageClass(method.input_type), GetMessageClass(method.output_type)

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            self.requests.append((method.name, request))
            yield from self._answers.get(method.name, lambda *_: iter([response_type()]))(request, context)

        def upload(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            # A refusal comes when all was read, as from the controller.
            return unary(list(requests), context)

        def unary(request: Any, context: grpc.ServicerContext) -> Any:
            return next(stream(request, context))

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(
                stream, request_type.FromString, response_type.SerializeToString
            )
        if method.client_streaming:
            return grpc.stream_unary_rpc_method_handler(
                upload, request_type.FromString, response_type.SerializeToString
            )
        return grpc.unary_unary_rpc_method_handler(unary, request_type.FromString, response_type.SerializeToString)


def main() -> None:
    """Serve until Shutdown or SIGTERM; say what is wrong and fail when told to by --fail."""
    args = sys.argv[1:]
    print("controller starting with", *args, flush=True)
    if "--fail" in args:
        print("OSError: the database is on fire", flush=True)
        sys.exit(3)
    fake = FakeController(Path(args[args.index("--data-dir") + 1]))
    fake.answer("GetSystemInfo", control_pb2.GetSystemInfoResponse(pid=os.getpid(), version="1"))
    page = "http://127.0.0.1:7117"
    fake.answer("CreateWebLink", web_pb2.CreateWebLinkResponse(address=page, link=f"{page}/login?token=once"))
    ended = threading.Event()

    def shut_down(_request: Any, _context: grpc.ServicerContext) -> Iterator[Any]:
        ended.set()
        yield control_pb2.ShutdownResponse()

    fake.handle("Shutdown", shut_down)
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    fake.start()
    ended.wait()
    fake.stop()


if __name__ == "__main__":
    main()
