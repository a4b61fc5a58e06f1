"""One Docker engine, blocking: what is asked of it, and how the answers are read."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus

from docker import APIClient, errors

from controller.config import Config
from controller.errors import AlreadyExists, FlowsnapError, Internal, InvalidArgument, NotFound, Unavailable
from controller.launcher.docker_container import (
    EXECUTION_LABEL,
    container_name,
    create_options,
    data_dir_label,
    reader_label,
)
from controller.launcher.docker_errors import DOCKER_ERRORS, translated
from controller.launcher.docker_events import DockerEvents
from controller.launcher.docker_host import connected, look_at_host
from controller.ports import ContainerEnd, ContainerSpec, Host

_TIMEOUT_S = 60
_TAIL_LINES = 20
_REMOVAL_S = 10.0
_REMOVAL_LOOK_S = 0.05
_ENDED_STATES = ("exited", "dead", "removing")


class DockerEngine:
    """The containers of one controller. Thread-safe; connects with the first request."""

    def __init__(self, config: Config, entrypoint: Sequence[str] | None, connections: int) -> None:
        """connections: how many requests go on at once."""
        self._config = config
        self._entrypoint = entrypoint
        self._connections = connections
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._connected: APIClient | None = None
        self.events = DockerEvents(self._connect, data_dir_label(config))

    def close(self) -> None:
        """Containers go on."""
        self.events.close()
        with self._lock:
            if self._connected is not None:
                self._connected.close()

    def start(self, spec: ContainerSpec) -> None:
        name = container_name(spec.execution_id)
        # From before the start on, so that no OOM kill is missed.
        self.events.start()
        with self._asking(f"container {name} of image {spec.image}: create") as client:
            created = client.create_container(**create_options(client, spec, self._config, self._entrypoint))
        self.events.follow(spec.execution_id, created["Id"])
        try:
            with self._asking(f"container {name} of image {spec.image}: start") as client:
                client.start(created["Id"])
        except BaseException:
            # Where the engine is away now, whoever tries again removes it.
            with suppress(FlowsnapError):
                self.remove(spec.execution_id)
            raise

    def remove(self, execution_id: str) -> None:
        name = container_name(execution_id)
        try:
            with self._asking(f"container {name}: remove") as client:
                _remove(client, name)
        except (AlreadyExists, Internal) as error:
            # It is in the way of the next one until the engine has changed its mind.
            raise Unavailable(str(error)) from error
        self.events.forget(execution_id)

    def look(self, execution_id: str) -> tuple[ContainerEnd, bool]:
        """How the container stands, and whether it still runs; exit_status is -1 for one that nobody saw end."""
        name = container_name(execution_id)
        try:
            with self._asking(f"container {name}: inspect") as client:
                state = client.inspect_container(name)["State"]
        except NotFound:
            state = {"Status": "dead", "ExitCode": -1, "OOMKilled": False}
        seen, running = self.events.seen(execution_id), state["Status"] not in _ENDED_STATES
        if running:
            self.events.runs(execution_id)
        end = ContainerEnd(
            execution_id=execution_id,
            exit_status=int(state["ExitCode"]) if seen.exit_status is None else seen.exit_status,
            # The flag is about the first process; a process below it that was killed shows as an event alone.
            oom_killed=bool(state["OOMKilled"]) or seen.oom,
            engine_away=seen.engine_away,
        )
        return end, running

    def image_id(self, image: str) -> str:
        with self._asking(f"image {image}: inspect") as client:
            return str(client.inspect_image(image)["Id"])  # type: ignore[no-untyped-call]

    def tail(self, execution_id: str) -> str:
        name = container_name(execution_id)
        try:
            with self._asking(f"container {name}: read its output") as client:
                return bytes(client.logs(name, tail=_TAIL_LINES)).decode(errors="replace")
        except NotFound:
            return ""

    def executions(self) -> list[str]:
        with self._asking("list the executions' containers") as client:
            found = client.containers(all=True, filters={"label": data_dir_label(self._config)})
        return [container["Labels"][EXECUTION_LABEL] for container in found]

    def host(self) -> Host:
        """As it is now; one that does not answer is told as away."""
        return look_at_host(data_dir_label(self._config))

    def read_file(self, image: str, path: str, limit_bytes: int) -> bytes:
        """By way of a container that is never started: an image's files can't be asked for otherwise."""
        with self._reading, self._asking(f"file {path} of image {image}: read") as client:
            label = reader_label(self._config)
            # What a controller left that was killed in the middle.
            for old in client.containers(all=True, filters={"label": label}):
                client.remove_container(old["Id"], force=True, v=True)
            name, _, value = label.partition("=")
            created = client.create_container(image, ["true"], labels={name: value}, network_disabled=True)
            try:
                chunks, stat = client.get_archive(created["Id"], path)
                if stat["size"] > limit_bytes:
                    raise InvalidArgument(f"file {path} of image {image}: its {stat['size']} bytes are too many")
                return _only_file(b"".join(chunks), path, image)
            finally:
                client.remove_container(created["Id"], force=True, v=True)

    @contextmanager
    def _asking(self, what: str) -> Iterator[APIClient]:
        """The client; what it raises inside comes out as one of the core's errors. what: the attempt and its object."""
        try:
            with self._lock:
                if self._connected is None:
                    self._connected = self._connect()
                client = self._connected
            yield client
        except DOCKER_ERRORS as error:
            raise translated(error, what, self._answers) from error

    def _answers(self) -> bool:
        """Whether the engine is well, and refused what it was asked alone."""
        try:
            return self._connected is not None and bool(self._connected.ping())
        except DOCKER_ERRORS:
            return False

    def _connect(self) -> APIClient:
        return connected(_TIMEOUT_S, self._connections)


def _remove(client: APIClient, name: str) -> None:
    """Returns when it is gone, whoever removes it."""
    deadline = time.monotonic() + _REMOVAL_S
    while True:
        try:
            client.remove_container(name, force=True, v=True)
        except errors.NotFound:
            return
        except errors.APIError as error:
            # Somebody else is removing it, and has its name until then.
            if error.status_code != HTTPStatus.CONFLICT or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(_REMOVAL_LOOK_S)


def _only_file(archive: bytes, path: str, image: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = tar.next()
        content = tar.extractfile(found) if found is not None and found.isfile() else None
        if content is None:
            raise NotFound(f"file {path} of image {image}: it is no regular file")
        return content.read()
