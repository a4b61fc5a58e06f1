"""What can go wrong in the agent, with the lower layer's words."""

from __future__ import annotations


class AgentError(Exception):
    """Base of the agent's own errors."""


class CriuRefused(AgentError):
    """CRIU did not dump or restore; the message ends with the errors of its log."""


class SpoolFull(CriuRefused):
    """There was no room on the disk for the dump; there may be later."""


class CommitFailed(AgentError):
    """The controller did not take a dumped savepoint into the store."""


class NoTree(AgentError):
    """The command needs a process tree and none lives here."""


class ControllerRefused(AgentError):
    """The controller answered an RPC with an error; the message has its words."""
