"""The connection to a controller: a gRPC channel over its control socket, and its errors in the user's words."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeVar, cast

from controller.cli import exit_codes
from controller.cli.errors import CliError, usage_error
from controller.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    import grpc
    from flowsnap.v1 import control_pb2_grpc, platform_pb2_grpc, retention_pb2_grpc, web_pb2_grpc

    from controller.config import Config

Request = TypeVar("Request")
Response = TypeVar("Response")

# An input, an output and a script each fit, with room for what goes around them.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

# sun_path in <sys/un.h>, without the closing zero.
MAX_SOCKET_PATH_BYTES = 107


class Client:
    """Calls to one controller. Importing gRPC takes 50 ms: it happens here, when a call is about to be made."""

    def __init__(self, socket: Path) -> None:
        """Opens a channel lazily: an absent controller shows only with the first call."""
        import grpc

        self.socket = socket
        self._channel = grpc.insecure_channel(
            f"unix:{socket}",
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                # Proxies are for TCP; reading their variables for a unix socket only gives odd errors.
                ("grpc.enable_http_proxy", 0),
            ],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    @cached_property
    def executions(self) -> control_pb2_grpc.ExecutionServiceStub:
        from flowsnap.v1 import control_pb2_grpc

        return control_pb2_grpc.ExecutionServiceStub(self._channel)

    @cached_property
    def savepoints(self) -> control_pb2_grpc.SavepointServiceStub:
        from flowsnap.v1 import control_pb2_grpc

        return control_pb2_grpc.SavepointServiceStub(self._channel)

    @cached_property
    def flows(self) -> control_pb2_grpc.FlowServiceStub:
        from flowsnap.v1 import control_pb2_grpc

        return control_pb2_grpc.FlowServiceStub(self._channel)

    @cached_property
    def connections(self) -> control_pb2_grpc.ConnectionServiceStub:
        from flowsnap.v1 import control_pb2_grpc

        return control_pb2_grpc.ConnectionServiceStub(self._channel)

    @cached_property
    def system(self) -> control_pb2_grpc.SystemServiceStub:
        from flowsnap.v1 import control_pb2_grpc

        return control_pb2_grpc.SystemServiceStub(self._channel)

    @cached_property
    def retention(self) -> retention_pb2_grpc.RetentionServiceStub:
        from flowsnap.v1 import retention_pb2_grpc

        return retention_pb2_grpc.RetentionServiceStub(self._channel)

    @cached_property
    def settings(self) -> platform_pb2_grpc.SettingServiceStub:
        from flowsnap.v1 import platform_pb2_grpc

        return platform_pb2_grpc.SettingServiceStub(self._channel)

    @cached_property
    def locks(self) -> platform_pb2_grpc.LockServiceStub:
        from flowsnap.v1 import platform_pb2_grpc

        return platform_pb2_grpc.LockServiceStub(self._channel)

    @cached_property
    def files(self) -> platform_pb2_grpc.FileServiceStub:
        from flowsnap.v1 import platform_pb2_grpc

        return platform_pb2_grpc.FileServiceStub(self._channel)

    @cached_property
    def messages(self) -> platform_pb2_grpc.MessageServiceStub:
        from flowsnap.v1 import platform_pb2_grpc

        return platform_pb2_grpc.MessageServiceStub(self._channel)

    @cached_property
    def schedules(self) -> platform_pb2_grpc.ScheduleServiceStub:
        from flowsnap.v1 import platform_pb2_grpc

        return platform_pb2_grpc.ScheduleServiceStub(self._channel)

    @cached_property
    def webhooks(self) -> platform_pb2_grpc.WebhookServiceStub:
        from flowsnap.v1 import platform_pb2_grpc

        return platform_pb2_grpc.WebhookServiceStub(self._channel)

    @cached_property
    def web(self) -> web_pb2_grpc.WebServiceStub:
        from flowsnap.v1 import web_pb2_grpc

        return web_pb2_grpc.WebServiceStub(self._channel)

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout_s: float | None = None,
    ) -> Response:
        """One request, one response; raises CliError in the controller's words."""
        import grpc

        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise self._explained(error) from error

    def stream(self, method: grpc.UnaryStreamMultiCallable[Request, Response], request: Request) -> Iterator[Response]:
        """One request, its stream of responses; raises CliError. Closing the iterator cancels the call."""
        import grpc

        responses = method(request)
        try:
            yield from responses
        except grpc.RpcError as error:
            raise self._explained(error) from error
        finally:
            responses.cancel()  # type: ignore[no-untyped-call]

    def upload(self, method: grpc.StreamUnaryMultiCallable[Request, Response], requests: Iterator[Request]) -> Response:
        """A stream of requests, one response; raises CliError, and what requests raises.

        The controller takes requests that broke off as the end of the stream: it has to know a whole one by itself.
        """
        import grpc

        failures: list[Exception] = []

        def unbroken() -> Iterator[Request]:
            try:
                yield from requests
            except Exception as error:  # noqa: BLE001  gRPC would only print it
                failures.append(error)

        try:
            response = method(unbroken())
        except grpc.RpcError as error:
            raise (failures[0] if failures else self._explained(error)) from error
        if failures:
            raise failures[0]
        return response

    def serving(self, timeout_s: float = 2) -> bool:
        """Whether the controller's health service says SERVING."""
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        try:
            response = health_pb2_grpc.HealthStub(self._channel).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout_s
            )
        except grpc.RpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    def _explained(self, error: grpc.RpcError) -> CliError:
        # What calls raise is a Call too; the base class alone has no code.
        call = cast("grpc.Call", error)
        code = call.code().name
        details: str = call.details() or ""
        if code == "UNAVAILABLE" and "failed to connect" in details:
            return _no_controller(self.socket, details.rpartition(": ")[2])
        if code == "UNIMPLEMENTED":
            details = (
                "the controller does not know this request, so its version differs from snapctl's: "
                "restart it with `snapctl down` and `snapctl up --detach`"
            )
        return CliError(details or f"the controller failed with {code}: see its log", exit_codes.of_grpc_code(code))


def connect(config: Config) -> Client:
    """A client of the controller that keeps its data in config.data_dir; CliError when there can't be one.

    Looks at the socket first: the common mistakes then get an answer without gRPC's 50 ms and in plain words.
    """
    socket = check_socket_path(config)
    try:
        mode = os.stat(socket).st_mode
    except PermissionError as error:
        raise _forbidden(socket) from error
    except OSError as error:
        raise _no_controller(socket, "there is no such socket") from error
    if not stat.S_ISSOCK(mode):
        raise _no_controller(socket, "that file is not a socket")
    if not os.access(socket, os.W_OK):
        raise _forbidden(socket)
    return Client(socket)


def check_socket_path(config: Config) -> Path:
    """The control socket of the data directory, absolute; CliError when its path is longer than sockets allow."""
    socket = config.control_socket.absolute()
    length_bytes = len(os.fsencode(socket))
    if length_bytes > MAX_SOCKET_PATH_BYTES:
        raise usage_error(
            f"the path {socket} is too long for a unix socket ({length_bytes} bytes, at most {MAX_SOCKET_PATH_BYTES}): "
            "choose a shorter --data-dir"
        )
    return socket


def _no_controller(socket: Path, reason: str) -> CliError:
    return CliError(
        f"no controller answers on {socket} ({reason}): start one with `snapctl up --detach`, "
        "or name its data directory with --data-dir or FLOWSNAP_DATA_DIR",
        ExitCode.UNAVAILABLE,
    )


def _forbidden(socket: Path) -> CliError:
    return CliError(
        f"not permitted to use the controller's socket {socket}: run snapctl as the user who started the controller",
        ExitCode.PERMISSION_DENIED,
    )
