"""The whole database, as controller.ports.Database describes it."""

from __future__ import annotations

from controller.db.calls import CallRecords
from controller.db.executions import ExecutionRecords
from controller.db.files import FileRecords
from controller.db.flows import FlowRecords
from controller.db.loads import LoadRecords
from controller.db.locks import LockRecords
from controller.db.log import LogRecords
from controller.db.messages import MessageRecords
from controller.db.named import NamedRecords
from controller.db.overviews import OverviewRecords
from controller.db.retention import RetentionRecords
from controller.db.savepoints import SavepointRecords
from controller.db.settings import SettingRecords
from controller.db.triggers import TriggerRecords
from controller.db.usage import UsageRecords
from controller.db.web_tokens import WebTokenRecords


class SqlDatabase(
    ExecutionRecords,
    FlowRecords,
    SavepointRecords,
    RetentionRecords,
    CallRecords,
    LoadRecords,
    LogRecords,
    UsageRecords,
    NamedRecords,
    SettingRecords,
    FileRecords,
    LockRecords,
    MessageRecords,
    TriggerRecords,
    OverviewRecords,
    WebTokenRecords,
):
    """Records in SQLite or PostgreSQL; migrate(url) brings its tables up to date first.

    Each public method is one transaction, blocks, and may be called from any thread. Besides what the methods name
    they raise the core's errors for what the engine says: Unavailable, ResourceExhausted, DataLoss, Internal.
    """
