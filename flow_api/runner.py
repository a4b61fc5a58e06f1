"""The flow's first process: takes the script from the agent, runs its handler, says how it ended."""

from __future__ import annotations

import sys
import types

from flow_api import exceptions
from flow_api._channel import Channel
from flow_api._execution import Execution
from flow_api._system import System

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any, NoReturn

# Not __main__: a script's own `if __name__ == "__main__":` is for running it elsewhere.
_MODULE = "flow"
_PACKAGE = __file__.rpartition("/")[0] + "/"


def main() -> None:
    """Never raises: the agent hears of everything by the channel."""
    channel = Channel()
    start = channel.first_frame()
    file = start["file"]
    try:
        sys.path.insert(0, file.rpartition("/")[0])
        _run(_load(file)(System(channel), Execution(channel)))
    except SystemExit as error:
        if error.code not in (None, 0):
            _end(channel, {"end": "raised", "error": f"SystemExit: {error.code}"})
    except BaseException as error:  # noqa: BLE001 - whatever a script raises ends the execution with its traceback
        _end(channel, {"end": "raised", "error": _traceback(error)})
    _end(channel, {"end": "returned"})


def _load(file: str) -> Any:
    with open(file, encoding="utf-8") as source:
        text = source.read()
    module = types.ModuleType(_MODULE)
    module.__file__ = file
    sys.modules[_MODULE] = module
    exec(compile(text, file, "exec"), module.__dict__)  # noqa: S102 - running the script is what this is for
    return module.__dict__["handler"]


def _run(result: Any) -> None:
    """What an `async def handler` answers is still to be run."""
    if hasattr(result, "__await__"):
        import asyncio

        asyncio.run(_awaited(result))


async def _awaited(result: Any) -> None:
    await result


def _traceback(error: BaseException) -> str:
    """The script's frames: this library's own say nothing to its author."""
    import traceback

    whole = traceback.TracebackException.from_exception(error)
    _leave_out_library(whole, error)
    return "".join(whole.format()).rstrip()


def _leave_out_library(told: Any, error: BaseException) -> None:
    """told: the error's TracebackException, whose first frames are the runner's."""
    while told.stack and told.stack[0].filename == __file__:
        del told.stack[0]
    if isinstance(error, exceptions.FlowsnapException):
        # Raised in the library, of what the script asked; its message has the words of what it came from.
        while told.stack and told.stack[-1].filename.startswith(_PACKAGE):
            del told.stack[-1]
        if (
            told.__cause__ is not None
            and told.__cause__.stack
            and told.__cause__.stack[0].filename.startswith(_PACKAGE)
        ):
            told.__cause__ = None
    for before, earlier in ((told.__cause__, error.__cause__), (told.__context__, error.__context__)):
        if before is not None and earlier is not None:
            _leave_out_library(before, earlier)


def _end(channel: Channel, header: dict[str, Any]) -> NoReturn:
    """Say it, let buffered text out, and go without waiting for threads that the script left running."""
    import os

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    channel.say_end(header)
    os._exit(0)


if __name__ == "__main__":
    main()
