"""Where things stand inside an execution's container; the same in every container, because CRIU records paths."""

from __future__ import annotations

from pathlib import Path

# Mounted by the controller. Neither is visible in the sandbox: its root is a bind mount that leaves out submounts.
AGENT_DIR = Path("/flowsnap")
CONFIG = AGENT_DIR / "agent.json"
SPOOL = AGENT_DIR / "spool"
CONTROLLER_SOCKET = Path("/flowsnap-controller/agent.sock")

# A tmpfs: CRIU keeps its cache of kernel features in /run, which halves the time of a dump.
RUN = Path("/run/flowsnap")
CRIU_SOCKET = RUN / "criu.sock"
CRIU_SERVICE_LOG = RUN / "criu-service.log"
# What the sandbox sees as /.
SANDBOX_ROOT = RUN / "root"
# Its /dev: a tmpfs of the agent's with a handful of harmless nodes.
DEVICES = RUN / "dev"
# One tmpfs per process tree that ever lived here: 1/, 2/, ...
SCRATCH = RUN / "scratch"

# In the sandbox.
FLOW_DIR = Path("/flow")
WORK_DIR = Path("/work")
