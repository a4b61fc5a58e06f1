"""What the Docker engine or its SDK raised, as the core's errors."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import requests
from docker import errors

from controller.errors import (
    AlreadyExists,
    FlowsnapError,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)

# All that a call of the SDK raises for a reason outside this program.
DOCKER_ERRORS = (errors.DockerException, requests.RequestException, OSError)


def translated(error: Exception, what: str, answers: Callable[[], bool]) -> FlowsnapError:
    """what: the attempt and its object, such as "container flowsnap-1: start". answers: whether the engine does."""
    if not isinstance(error, errors.APIError):
        return Unavailable(
            f"{what}: the Docker engine does not answer: {error}; start it with `systemctl start docker` or `dockerd`"
            " (DOCKER_HOST, if set, says where it is looked for)"
        )
    words = _words(error)
    if "no space left" in words.lower():
        return ResourceExhausted(f"{what}: {words}; free some space, for instance with `docker system prune`")
    if isinstance(error, errors.ImageNotFound):
        return NotFound(f"{what}: {words}; build it with scripts/image, or name another with --image")
    match error.status_code or 0:
        case HTTPStatus.NOT_FOUND:
            kind: type[FlowsnapError] = NotFound
        case HTTPStatus.CONFLICT:
            kind, words = AlreadyExists, f"{words}; remove that container first"
        case HTTPStatus.BAD_REQUEST:
            kind = InvalidArgument
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR and (_passes(words) or not answers()):
            kind, words = Unavailable, f"{words} (HTTP {status}); try again, and see whether the engine is well"
        case _:
            kind, words = Internal, f"{words} (HTTP {error.status_code}); the engine's own log may say more"
    return kind(f"{what}: {words}")


def _passes(words: str) -> bool:
    """Whether the engine says that its containerd is away: the name of a gRPC status ends its words."""
    return words.rstrip().endswith(": unavailable")


def _words(error: errors.APIError) -> str:
    return str(error.explanation or error).strip()
