"""What a flow script imports: `def handler(system: flow_api.System, this: flow_api.Execution)`.

Standard library only, and little of it: all of it is in every savepoint.
"""

from flow_api import exceptions
from flow_api._execution import ConnectorCall, Execution, Restored
from flow_api._system import File, Setting, System
from flow_api.exceptions import *  # noqa: F403 - scripts catch flow_api.X as well as flow_api.exceptions.X

__all__ = ["ConnectorCall", "Execution", "File", "Restored", "Setting", "System", "exceptions"]
