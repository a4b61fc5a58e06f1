"""What a flow script imports: `def handler(system: flow_api.System, this: flow_api.Execution)`.

Standard library only, and little of it: all of it is in every savepoint.
"""

from flow_api import exceptions
from flow_api._connections import Connection
from flow_api._execution import Execution
from flow_api._files import File
from flow_api._flows import Flow
from flow_api._messages import Message
from flow_api._record import ReturnWhen
from flow_api._restored import ForkedFrom, Restored
from flow_api._settings import Setting
from flow_api._system import System
from flow_api.exceptions import *  # noqa: F403 - scripts catch flow_api.X as well as flow_api.exceptions.X

__all__ = [
    "Connection",
    "Execution",
    "File",
    "Flow",
    "ForkedFrom",
    "Message",
    "Restored",
    "ReturnWhen",
    "Setting",
    "System",
    "exceptions",
]
