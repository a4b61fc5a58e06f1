"""Faults on purpose: named points at which a component kills itself, so that tests can see what becomes of it.

A plan is a text, `POINT:kill@N,POINT:kill@N...`: the component dies, as by kill -9, when it reaches the point for the
N-th time (1 where `@N` is left out). With `stall` for `kill` it waits a while there, at that time and all that follow,
so that others can be quicker. The first part of a point's name is its component. Only the controller's
environment and an agent's own settings can arm a point; a flow reaches neither.
"""

from __future__ import annotations

import os
import signal
import time

# In the order of a run. `before` and `after` mean the step that the name tells.
CONTROLLER = (
    "controller.create.row.before",
    "controller.create.row.after",
    "controller.container.start.before",
    "controller.container.start.after",
    "controller.script.before",  # its execution is recorded as running, and its agent has not got the script
    "controller.call.row.before",
    "controller.call.row.after",
    "controller.call.outcome.before",  # carried out, and not recorded
    "controller.call.outcome.after",  # recorded, and not answered
    "controller.task.outcome.before",
    "controller.task.outcome.after",
    "controller.commit.before",
    "controller.commit.chunks.before",
    "controller.commit.chunks.after",
    "controller.commit.manifest.before",
    "controller.commit.manifest.after",
    "controller.commit.row.before",
    "controller.commit.row.after",
    "controller.commit.record.after",  # the dump's record is gone from the spool, its image is not
    "controller.restore.before",  # the container is there, the image on its way
    "controller.restore.after",
    "controller.load.before",  # the old tree stands frozen
    "controller.load.row.before",  # the restored tree has taken its place
    "controller.load.row.after",
    "controller.recovery.before",  # what the lost tree had dumped is committed
    "controller.recovery.row.after",
    "controller.park.row.before",  # the tree that waits stands frozen
    "controller.park.row.after",
    "controller.end.row.before",
    "controller.end.row.after",
    "controller.container.remove.before",
    "controller.container.remove.after",
)
AGENT = (
    "agent.script.after",
    "agent.dump.before",
    "agent.dump.frozen",  # the image of the memory is written, the tree still stands still
    "agent.dump.after",
    "agent.record.before",
    "agent.record.after",
    "agent.commit.after",
    "agent.call.before",
    "agent.call.after",
    "agent.reply.after",
    "agent.restore.before",
    "agent.swap.before",  # both trees are there
    "agent.swap.after",
    "agent.end.before",
    "agent.end.after",
)
POINTS = frozenset(CONTROLLER + AGENT)

_AGENTS = "agent."
_INIT = 1

STALL_S = 3.0
_KILL, _STALL = "kill", "stall"

# By point: the action, and how often the point is still to be reached.
_armed: dict[str, tuple[str, int]] = {}
_for_agents: list[str] = []


def arm(plan: str, component: str) -> None:
    """Arm those of the plan that are the component's own; a controller keeps those for agents. Empty: none.

    Raises ValueError for what is no plan.
    """
    _armed.clear()
    _for_agents.clear()
    for fault in filter(None, plan.split(",")):
        point, _, what = fault.partition(":")
        action, _, times = what.partition("@")
        times = times or "1"
        if point not in POINTS or action not in (_KILL, _STALL) or not times.isdecimal() or int(times) == 0:
            raise ValueError(
                f"{fault!r} is no fault: write POINT:kill@N or POINT:stall@N, with a point that the module faults names"
            )
        if point.startswith(f"{component}."):
            _armed[point] = action, int(times)
        elif point.startswith(_AGENTS):
            _for_agents.append(fault)


def hand_on() -> str:
    """The next fault that is meant for an agent: each goes to one container, so that the one after it can live."""
    return _for_agents.pop(0) if _for_agents else ""


def reach(point: str) -> None:
    """Say that this point of the program is reached; costs a look at an empty dict where none is armed."""
    if not _armed or point not in _armed:
        return
    action, times = _armed[point]
    _armed[point] = action, times - 1
    if action == _STALL and times <= 1:
        time.sleep(STALL_S)
    elif action == _KILL and times == 1:
        if os.getpid() == _INIT:
            # The kernel spares a namespace's first process its own signals; this too leaves no time for anything.
            os._exit(128 + signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
