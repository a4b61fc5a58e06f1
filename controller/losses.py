"""Losses: a process tree that ended without a word, and what is known of why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from controller.errors import FlowsnapError
from controller.live import Live
from controller.model import Execution
from controller.ports import ContainerEnd, Launcher

_MIB = 1024 * 1024
_KILLED = 128  # exit status of a process that a signal killed: that and the signal's number

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """words: what happened, without a period; advice: what to do when it happens again and again.

    blamed: it may be the flow's own doing, and so counts against it while there is no further savepoint. own: nobody
    outside can have done it, and so it counts against the execution for good.
    """

    words: str
    advice: str = "load an older savepoint"
    blamed: bool = True
    own: bool = True


ENDED_WITH_ENGINE = Loss("its container ended with the Docker engine", blamed=False, own=False)

# Brings the execution back; returns at once. container and branch: where the loss was seen.
LossHandler = Callable[[Live, int, int, Loss], None]


def out_of_memory(execution: Execution) -> Loss:
    limit = execution.memory_limit_bytes // _MIB
    return Loss(
        f"out of memory: the container's limit is {limit} MiB",
        "run it with a higher memory limit, or load a savepoint from before",
    )


async def container_loss(launcher: Launcher, execution: Execution, end: ContainerEnd) -> Loss:
    """Its container ended by itself, or was ended by others."""
    if end.oom_killed:
        return out_of_memory(execution)
    if end.engine_away:
        return ENDED_WITH_ENGINE
    if end.exit_status < 0:
        return Loss("its container was removed", own=False)
    if end.ended_by_others:
        return Loss("its container was stopped", blamed=False, own=False)
    if end.exit_status > _KILLED:
        # As by an engine that restarts; from within nobody can send its first process a signal.
        return Loss(f"its container was killed by signal {end.exit_status - _KILLED}", own=False)
    try:
        tail = (await launcher.tail(execution.id)).strip()
    except FlowsnapError as error:
        _log.warning("execution %s: %s", execution.id, error)
        tail = ""
    words = f"its container ended with exit status {end.exit_status}"
    return Loss(f"{words}; its agent's last line: {tail.splitlines()[-1]}" if tail else words)


async def process_loss(launcher: Launcher, execution: Execution, exit_status: int) -> Loss:
    """The flow's first process ended and said nothing. exit_status: -signal where one killed it."""
    if exit_status < 0 and await launcher.oom_killed(execution.id):
        return out_of_memory(execution)
    if exit_status < 0:
        return Loss(f"the flow's process was killed by signal {-exit_status}")
    return Loss(f"the flow's process ended without returning: exit status {exit_status}")
