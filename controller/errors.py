"""Errors of the core, named by what the caller can do about them.

    FlowsnapError
    ├── InvalidArgument       the request is wrong in itself: correct it
    ├── NotFound              nothing is there under that name: look at the list
    ├── AlreadyExists         the name is taken: choose another
    ├── FailedPrecondition    right request, wrong state: bring it into the state the message asks for
    ├── PermissionDenied      not allowed for this caller
    ├── ResourceExhausted     disk, memory or a limit is used up: free some, or raise the limit
    ├── Unavailable           something underneath does not answer now: try again
    ├── DataLoss              what was stored is damaged: another savepoint may still be good
    └── Internal              a bug, or CRIU or the kernel refused: the message carries their words

api/codes.py maps each to a gRPC code, cli/exit_codes.py to an exit status.
"""

from __future__ import annotations


class FlowsnapError(Exception):
    """What failed, on what, in the lower layer's words, and what to do next.

    not_recorded: the database took nothing of what it was asked, for a reason that passes: ask again.
    """

    not_recorded = False


class InvalidArgument(FlowsnapError):
    """The request is wrong in itself."""


class NotFound(FlowsnapError):
    """Nothing is there under that name."""


class AlreadyExists(FlowsnapError):
    """The name is taken."""


class FailedPrecondition(FlowsnapError):
    """The request is right, the state is not."""


class PermissionDenied(FlowsnapError):
    """Not allowed for this caller."""


class ResourceExhausted(FlowsnapError):
    """Disk, memory or a limit is used up."""


class Unavailable(FlowsnapError):
    """Something underneath does not answer now."""


class DataLoss(FlowsnapError):
    """What was stored is damaged."""


class Internal(FlowsnapError):
    """A bug, or the kernel or CRIU refused."""
