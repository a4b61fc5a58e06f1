"""What the pages work with: the core's parts in one hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.cancels import Cancels
from controller.connections import Connections
from controller.executions import Executions
from controller.files import Files
from controller.flows import Flows
from controller.forks import Forks
from controller.inspections import Inspections
from controller.loads import Loads
from controller.locks import Locks
from controller.messages import Messages
from controller.pauses import Pauses
from controller.retention import Retentions
from controller.savepoints import Savepoints
from controller.schedules import Schedules
from controller.services import Services
from controller.sessions import Sessions
from controller.settings import Settings
from controller.trial import Trial
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
    inspections: Inspections


@dataclass(frozen=True, slots=True)
class PlatformParts:
    """What stands beside executions. address: where the pages and webhooks are."""

    settings: Settings
    files: Files
    locks: Locks
    messages: Messages
    schedules: Schedules
    webhooks: Webhooks
    connections: Connections
    retentions: Retentions
    trial: Trial
    address: Callable[[], str]
