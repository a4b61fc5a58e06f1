"""Exit statuses of snapctl, and the one place that maps gRPC codes to them."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """What a script can tell apart. The numbers are documented in docs/cli.md and never change."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    FAILED_PRECONDITION = 4
    ALREADY_EXISTS = 5
    UNAVAILABLE = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    DATA_LOSS = 9
    # How a followed or awaited execution ended.
    ENDED_ERROR = 10
    ENDED_CANCELLED = 11
    # The shells' convention: 128 + the signal's number.
    INTERRUPTED = 130
    BROKEN_PIPE = 141


# By the name of grpc.StatusCode, because importing grpc takes longer than all of the rest.
_BY_GRPC_CODE = {
    "OK": ExitCode.OK,
    "CANCELLED": ExitCode.FAILED,
    "UNKNOWN": ExitCode.FAILED,
    "INVALID_ARGUMENT": ExitCode.USAGE,
    "DEADLINE_EXCEEDED": ExitCode.UNAVAILABLE,
    "NOT_FOUND": ExitCode.NOT_FOUND,
    "ALREADY_EXISTS": ExitCode.ALREADY_EXISTS,
    "PERMISSION_DENIED": ExitCode.PERMISSION_DENIED,
    "UNAUTHENTICATED": ExitCode.PERMISSION_DENIED,
    "RESOURCE_EXHAUSTED": ExitCode.RESOURCE_EXHAUSTED,
    "FAILED_PRECONDITION": ExitCode.FAILED_PRECONDITION,
    # Somebody else was quicker: as with FAILED_PRECONDITION, look at the state and decide anew.
    "ABORTED": ExitCode.FAILED_PRECONDITION,
    "OUT_OF_RANGE": ExitCode.USAGE,
    "UNIMPLEMENTED": ExitCode.FAILED,
    "INTERNAL": ExitCode.FAILED,
    "UNAVAILABLE": ExitCode.UNAVAILABLE,
    "DATA_LOSS": ExitCode.DATA_LOSS,
}

_BY_EXECUTION_STATUS = {
    "ENDED_SUCCESS": ExitCode.OK,
    "ENDED_ERROR": ExitCode.ENDED_ERROR,
    "ENDED_CANCELLED": ExitCode.ENDED_CANCELLED,
}

EXPLANATION = """\
Exit codes: 0 done, 1 failed, 2 wrong usage or argument, 3 not found, 4 not possible in the present state,
5 exists already, 6 no controller or no answer, 7 not permitted, 8 disk, memory or a limit used up,
9 stored data damaged, 10 the followed execution ended with an error, 11 it was cancelled, 130 interrupted."""


def of_grpc_code(name: str) -> ExitCode:
    """The exit status for the name of a grpc.StatusCode; KeyError for a name that gRPC doesn't have."""
    return _BY_GRPC_CODE[name]


def of_execution_status(status: str) -> ExitCode:
    """How a command that waited for an execution's end exits; status is an ended one, without its enum's prefix."""
    return _BY_EXECUTION_STATUS[status]
