"""The whole database, as controller.ports.Database describes it."""

from __future__ import annotations

from controller.db.calls import CallRecords
from controller.db.executions import ExecutionRecords
from controller.db.loads import LoadRecords
from controller.db.log import LogRecords
from controller.db.named import NamedRecords
from controller.db.savepoints import SavepointRecords


class SqlDatabase(ExecutionRecords, SavepointRecords, CallRecords, LoadRecords, LogRecords, NamedRecords):
    """Records in SQLite or PostgreSQL; migrate(url) brings its tables up to date first.

    Each public method is one transaction, blocks, and may be called from any thread. Besides what the methods name
    they raise the core's errors for what the engine says: Unavailable, ResourceExhausted, DataLoss, Internal.
    """
