"""What the pages work with: the core's parts in one hand."""

from __future__ import annotations

from dataclasses import dataclass

from controller.cancels import Cancels
from controller.executions import Executions
from controller.flows import Flows
from controller.forks import Forks
from controller.loads import Loads
from controller.pauses import Pauses
from controller.savepoints import Savepoints
from controller.services import Services
from controller.sessions import Sessions
from controller.undos import Undos
from controller.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Parts:
    """The same objects that the gRPC services call."""

    services: Services
    sessions: Sessions
    executions: Executions
    savepoints: Savepoints
    loads: Loads
    undos: Undos
    pauses: Pauses
    cancels: Cancels
    flows: Flows
    forks: Forks


@dataclass(frozen=True, slots=True)
class PlatformParts:
    """What stands beside executions."""

    webhooks: Webhooks
