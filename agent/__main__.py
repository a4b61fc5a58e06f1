"""PID 1: start the flow's process in its sandbox, then talk with the controller until told to stop.

The order of imports is the order of work: the flow's interpreter starts while the agent loads gRPC, and no fork
happens once gRPC has threads.
"""

from __future__ import annotations

import os
import sys

import faults
from agent import linux, sandbox
from agent.config import AgentConfig
from agent.errors import AgentError
from agent.paths import CONFIG, SCRATCH
from agent.pipes import FLOW_CALL_FD, FLOW_REPLY_FD, Pipes
from agent.scratch import Scratch
from agent.tree import Tree

_FLOW_COMMAND = ("/usr/bin/python3", "-m", "flow_api.runner")


def start_tree(config: AgentConfig) -> Tree:
    """The flow's interpreter, waiting for its script."""
    scratch = Scratch.mount_empty(SCRATCH / "0", config.scratch_limit_bytes)
    scratch.make_folders(sandbox.HOST_FLOW_UID)
    pipes = Pipes.open()
    pid = sandbox.spawn(
        _FLOW_COMMAND,
        {
            1: pipes.flow_stdout,
            2: pipes.flow_stderr,
            FLOW_REPLY_FD: pipes.flow_replies,
            FLOW_CALL_FD: pipes.flow_calls,
        },
        scratch,
        sandbox.flow_environment(),
    )
    pipes.close_flow_ends()
    return Tree(pid, pipes, scratch)


def main() -> int:
    """Answers the container's exit status."""
    try:
        config = AgentConfig.read(CONFIG)
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"flowsnap agent: {CONFIG} can't be used ({error!r}); start this image with snapctl run\n")
        return 2
    faults.arm(config.faults, "agent")
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # CRIU is started by vfork and exec, which needs none
    linux.become_subreaper()
    sandbox.prepare_root()
    tree = start_tree(config) if config.mode == "start" else None

    from agent import criu

    service = criu.Service()

    import asyncio

    from agent.execution import Execution
    from agent.session import Session

    async def run() -> None:
        session = Session(config.token)
        try:
            await Execution(config, session, service, tree).run()
        finally:
            await session.close()

    try:
        asyncio.run(run())
    except AgentError as error:
        sys.stderr.write(f"flowsnap agent: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
