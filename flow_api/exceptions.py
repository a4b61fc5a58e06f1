"""What a flow can catch, and the lifecycle signals that it can't.

FlowsnapException (CloudomationException)
├── InternalError
├── PermissionDenied
├── ResourceNotFoundError
├── DependencyFailedError
│   └── ConnectorError
├── SavepointError
│   └── SavepointLoopError
├── TimeoutExceededError
│   ├── LockTimeoutError
│   ├── DependencyTimeoutError
│   └── MessageResponseTimeoutError
├── MissingInputError
├── InvalidInputError
└── ExtraInputError
LifecycleSignal (never raised into a script: the execution ends inside the call)
├── ExecutionSuccess
├── ExecutionError
└── ExecutionCancel
"""

from __future__ import annotations

__all__ = [
    "CloudomationException",
    "ConnectorError",
    "DependencyFailedError",
    "DependencyTimeoutError",
    "ExecutionCancel",
    "ExecutionError",
    "ExecutionSuccess",
    "ExtraInputError",
    "FlowsnapException",
    "InternalError",
    "InvalidInputError",
    "LifecycleSignal",
    "LockTimeoutError",
    "MessageResponseTimeoutError",
    "MissingInputError",
    "PermissionDenied",
    "ResourceNotFoundError",
    "SavepointError",
    "SavepointLoopError",
    "TimeoutExceededError",
]


class FlowsnapException(Exception):
    """Base of all that a Flow-API call can raise."""


CloudomationException = FlowsnapException


class InternalError(FlowsnapException):
    """The platform failed, not the script."""


class PermissionDenied(FlowsnapException):
    """The execution may not do this."""


class ResourceNotFoundError(FlowsnapException):
    """No setting, file, connection, flow or execution of that name."""


class DependencyFailedError(FlowsnapException):
    """A child execution that was waited for did not succeed."""


class ConnectorError(DependencyFailedError):
    """A connector was refused by what it talks to; the message has the other side's words."""


class SavepointError(FlowsnapException):
    """A savepoint could not be taken or loaded; the message has CRIU's or the store's words."""


class SavepointLoopError(SavepointError):
    """load_dump went back to the same savepoint more often than max_times allows."""


class TimeoutExceededError(FlowsnapException):
    """A wait took longer than its limit."""


class LockTimeoutError(TimeoutExceededError):
    """A lock was not free in time."""


class DependencyTimeoutError(TimeoutExceededError):
    """A child execution did not end in time."""


class MessageResponseTimeoutError(TimeoutExceededError):
    """Nobody answered in time."""


class MissingInputError(FlowsnapException):
    """A call or connector lacks an input that it needs."""


class InvalidInputError(FlowsnapException):
    """An input has the wrong type or value."""


class ExtraInputError(FlowsnapException):
    """An input that the call or connector does not know."""


class LifecycleSignal(BaseException):
    """The execution's end. A script can't catch it: it stands here for isinstance checks and type annotations."""


class ExecutionSuccess(LifecycleSignal):
    """this.success()."""


class ExecutionError(LifecycleSignal):
    """this.error()."""


class ExecutionCancel(LifecycleSignal):
    """this.cancel()."""


def by_name(name: str, message: str) -> FlowsnapException:
    """The exception that the platform named; InternalError for a name that this version does not know."""
    found = globals().get(name)
    if isinstance(found, type) and issubclass(found, FlowsnapException):
        return found(message)
    return InternalError(f"{name}: {message}")
