"""The flow's first process: takes the script from the agent, runs its handler, says how it ended."""

from __future__ import annotations

import sys
import types

from flow_api._channel import Channel
from flow_api._execution import Execution
from flow_api._system import System

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any, NoReturn

# Not __main__: a script's own `if __name__ == "__main__":` is for running it elsewhere.
_MODULE = "flow"


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
    """From the script's first frame on: the runner's own say nothing to its author."""
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


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
