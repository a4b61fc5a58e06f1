"""PID 1 of an execution's container: runs the flow in a sandbox and takes and restores its savepoints."""

__version__ = "0.1.0"
