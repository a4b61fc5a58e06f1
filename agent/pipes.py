"""The pipes between a flow and its agent. Imports little: the flow is started before the agent loads the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass

# Their numbers in the flow's process: far from those that a script's own files get.
FLOW_REPLY_FD = 100
FLOW_CALL_FD = 101


@dataclass(frozen=True, slots=True)
class Pipes:
    """The six ends of the three pipes' sides. ours_*: the agent keeps; flow_*: goes to the flow."""

    ours_calls: int
    flow_calls: int
    ours_replies: int
    flow_replies: int
    ours_stdout: int
    flow_stdout: int
    ours_stderr: int
    flow_stderr: int

    @classmethod
    def open(cls) -> Pipes:
        calls_read, calls_write = os.pipe()
        replies_read, replies_write = os.pipe()
        stdout_read, stdout_write = os.pipe()
        stderr_read, stderr_write = os.pipe()
        for fd in (calls_read, replies_write, stdout_read, stderr_read):
            os.set_blocking(fd, False)
        return cls(
            calls_read, calls_write, replies_write, replies_read, stdout_read, stdout_write, stderr_read, stderr_write
        )

    def flow_ends(self) -> dict[str, int]:
        """Role -> the flow's end. The roles name the pipes in a savepoint."""
        return {
            "calls": self.flow_calls,
            "replies": self.flow_replies,
            "stdout": self.flow_stdout,
            "stderr": self.flow_stderr,
        }

    def keys(self) -> dict[str, str]:
        """Role -> CRIU's key of the pipe. Both ends of a pipe have one inode number."""
        ours = {
            "calls": self.ours_calls,
            "replies": self.ours_replies,
            "stdout": self.ours_stdout,
            "stderr": self.ours_stderr,
        }
        return {role: f"pipe:[{os.fstat(fd).st_ino}]" for role, fd in ours.items()}

    def close_flow_ends(self) -> None:
        for fd in self.flow_ends().values():
            os.close(fd)

    def close_ours(self) -> None:
        for fd in (self.ours_calls, self.ours_replies, self.ours_stdout, self.ours_stderr):
            os.close(fd)
