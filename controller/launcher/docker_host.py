"""Where the Docker engine is, and what the host is that it runs on."""

from __future__ import annotations

import platform
import socket
from contextlib import closing
from urllib.parse import urlsplit

from docker import APIClient
from docker.constants import DEFAULT_UNIX_SOCKET
from docker.utils import kwargs_from_env

from controller.launcher.docker_errors import DOCKER_ERRORS, translated
from controller.ports import Host, HostState

# Somebody waits for the answer, and "away" is one.
_LOOK_TIMEOUT_S = 3


def connected(timeout_s: int, connections: int) -> APIClient:
    """A client of the engine, found as the docker command finds it: DOCKER_HOST, or its socket."""
    _try_socket(_engine_address(), timeout_s)
    return APIClient(version="auto", timeout=timeout_s, max_pool_size=connections, **kwargs_from_env())


def look_at_host(label: str) -> Host:
    """label: of this controller's containers. Raises nothing that the engine does."""
    address = ""
    try:
        address = _engine_address()
        # A client of its own, which does not wait as long as the others.
        with closing(connected(_LOOK_TIMEOUT_S, 1)) as client:
            told = client.info()
            own = client.containers(filters={"label": label, "status": "running"})
    except DOCKER_ERRORS as error:
        words = str(translated(error, "look at the host", lambda: False))
        return Host(_name(address), address, HostState.AWAY, words)
    return Host(
        name=str(told["Name"]),
        address=address,
        state=HostState.READY,
        kernel=str(told["KernelVersion"]),
        architecture=str(told["Architecture"]),
        cpus=int(told["NCPU"]),
        memory_bytes=int(told["MemTotal"]),
        engine_version=str(told["ServerVersion"]),
        containers=int(told["ContainersRunning"]),
        executions=len(own),
    )


def _engine_address() -> str:
    """As DOCKER_HOST writes it: "unix:///var/run/docker.sock"."""
    return str(kwargs_from_env().get("base_url", DEFAULT_UNIX_SOCKET)).replace("http+unix:", "unix:")


def _name(address: str) -> str:
    """What can be said of it while its engine does not answer."""
    return urlsplit(address).hostname or platform.node()


def _try_socket(url: str, timeout_s: float) -> None:
    """Raises ConnectionError in plain words, where the SDK wraps three exceptions and leaves a socket open."""
    scheme, _, path = url.partition("://")
    if scheme != "unix":
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(timeout_s)
        try:
            probe.connect("/" + path.lstrip("/"))
        except OSError as error:
            raise ConnectionError(f"{path}: {error.strerror or error}") from error
