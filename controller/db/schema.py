"""The tables. A change here needs a revision in migrations/versions and its number in REVISION."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from controller.db.types import CleanText, EnumText, IdText, Micros, NameTuple
from controller.model import ExecutionType, KeepScope, Missed, SavepointKind, Status

# The newest revision: lets a start skip Alembic when the database is there already.
REVISION = "0001"

# Constraint names are fixed so that later revisions can drop them on every engine.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _owner(*, primary_key: bool = False) -> Column[str]:
    return Column(
        "execution_id",
        IdText,
        ForeignKey("executions.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
    )


flows = Table(
    "flows",
    metadata,
    Column("version", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("script", LargeBinary, nullable=False),
)

flow_files = Table(
    "flow_files",
    metadata,
    Column("version", Text, ForeignKey("flows.version"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

# What a flow's name stands for, push by push.
releases = Table(
    "releases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", Text, ForeignKey("flows.version"), nullable=False),
    Column("created_at", Micros, nullable=False),
)

executions = Table(
    "executions",
    metadata,
    Column("id", IdText, primary_key=True),
    Column("name", Text, nullable=False, index=True),
    Column("status", EnumText(Status), nullable=False, index=True),
    Column("message", CleanText, nullable=False),
    Column("flow_name", Text, nullable=False),
    Column("flow_version", Text, ForeignKey("flows.version"), nullable=False),
    Column("input_value", LargeBinary, nullable=False),
    Column("output_value", LargeBinary, nullable=False),
    Column("container_image", Text, nullable=False),
    Column("memory_limit_bytes", BigInteger, nullable=False),
    Column("pids_limit", Integer, nullable=False),
    Column("token_hash", Text, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("started_at", Micros),
    Column("ended_at", Micros),
    Column("branch", Integer, nullable=False),
    # No foreign key: it would close a circle with savepoints, and both go in one delete.
    Column("head_savepoint_id", IdText),
    Column("savepoint_count", Integer, nullable=False),
    Column("last_call", Text, nullable=False),
    Column("last_file", Text, nullable=False),
    Column("last_line", Integer, nullable=False),
    Column("load_count", Integer, nullable=False),
    Column("script_load_count", Integer, nullable=False),
    Column("recovery_count", Integer, nullable=False),
    Column("strikes", Integer, nullable=False),
    Column("strike_savepoint_id", IdText),
    Column("own_losses", Integer, nullable=False),
    Column("parked", Boolean, nullable=False),
    Column("retry_limit", Integer, nullable=False),
    Column("retry_from", Text, nullable=False),
    Column("retry_backoff_s", Float, nullable=False),
    Column("retry_count", Integer, nullable=False),
    Column("retry_at", Micros),
    Column("type", EnumText(ExecutionType), nullable=False),
    Column("parent_id", IdText, ForeignKey("executions.id", ondelete="SET NULL"), index=True),
    Column("depth", Integer, nullable=False),
    Column("origin", Text, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("error_type", Text, nullable=False),
    Column("container_image_name", Text, nullable=False),
    # No foreign key: a fork outlives what it was made from, and goes on telling of it.
    Column("forked_from_execution_id", IdText),
    Column("forked_from_savepoint_id", IdText, nullable=False),
    Column("forked_from_number", Integer, nullable=False),
    Column("forked_from_name", Text, nullable=False),
    Column("fork_index", Integer, nullable=False),
    Column("log_count", BigInteger, nullable=False, default=0),
    Index(None, "created_at", "id"),
)

savepoints = Table(
    "savepoints",
    metadata,
    Column("id", IdText, primary_key=True),
    _owner(),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", EnumText(SavepointKind), nullable=False),
    Column("branch", Integer, nullable=False),
    Column("parent_id", IdText),
    Column("seq", BigInteger, nullable=False),
    Column("call", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("function", Text, nullable=False),
    Column("open_calls", NameTuple, nullable=False),
    Column("output_value", LargeBinary, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("raw_bytes", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
    Column("frozen_us", BigInteger, nullable=False),
    Column("dump_us", BigInteger, nullable=False),
    Column("script_loads", Integer, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("image_dir", Text, nullable=False),
    UniqueConstraint("execution_id", "number"),
    Index(None, "execution_id", "branch", "seq"),
    Index(None, "parent_id"),
)

# execution_id: the subject once more where that is an execution, so that a rule goes with it.
retention = Table(
    "retention",
    metadata,
    Column("scope", EnumText(KeepScope), primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("execution_id", IdText, ForeignKey("executions.id", ondelete="CASCADE"), index=True),
    Column("newest", BigInteger),
    Column("one_in", BigInteger),
    Column("max_age_s", BigInteger),
    Column("max_number", BigInteger),
    Column("max_bytes", BigInteger),
)

# state: OPEN, then DONE (the outcome columns hold) or ABANDONED (its branch was left). A negative seq: made after the
# savepoint that a recovery went back to; the flow, which is to make it again, may then count otherwise.
calls = Table(
    "calls",
    metadata,
    _owner(primary_key=True),
    Column("branch", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("args", LargeBinary, nullable=False),
    Column("file", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("function", Text, nullable=False),
    Column("started_at", Micros, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("redo_of_savepoint_id", IdText, nullable=False),
    Column("state", Text, nullable=False),
    Column("value", LargeBinary),
    Column("error_type", Text),
    Column("error_message", CleanText),
    Column("halt", Boolean),
    Column("ends", Boolean),
)

loads = Table(
    "loads",
    metadata,
    # Order of recording; times of two loads may be equal.
    Column("ordinal", Integer, primary_key=True),
    Column("id", IdText, nullable=False, unique=True),
    _owner(),
    Column("savepoint_id", IdText, nullable=False),
    Column("loaded_id", IdText, nullable=False),
    Column("loaded_number", Integer, nullable=False),
    Column("loaded_name", Text, nullable=False),
    Column("before_savepoint_id", IdText),
    Column("before_status", EnumText(Status), nullable=False),
    Column("before_message", CleanText, nullable=False),
    Column("before_output_value", LargeBinary, nullable=False),
    Column("before_ended_at", Micros),
    Column("branch_from", Integer, nullable=False),
    Column("branch_to", Integer, nullable=False),
    Column("by", Text, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("undone", Boolean, nullable=False),
    Index(None, "execution_id"),
)

log_lines = Table(
    "log_lines",
    metadata,
    _owner(primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Micros, nullable=False),
    Column("stream", Text, nullable=False),
    Column("text", CleanText, nullable=False),
)

# cpu_us: of all its containers until then; container_cpu_us: of that one alone, to count on from.
usage_samples = Table(
    "usage_samples",
    metadata,
    _owner(primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Micros, nullable=False),
    Column("cpu_us", BigInteger, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("pids", Integer, nullable=False),
    Column("container", Text, nullable=False),
    Column("container_cpu_us", BigInteger, nullable=False),
)

connections = Table(
    "connections",
    metadata,
    Column("name", Text, primary_key=True),
    Column("connector_type", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("saved_by", IdText, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("modified_at", Micros, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("name", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("modified_at", Micros, nullable=False),
)

# A lock outlives its holder, and so no foreign key leads there.
locks = Table(
    "locks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("execution_id", IdText, nullable=False),
    Column("call_branch", Integer, nullable=False),
    Column("call_seq", BigInteger, nullable=False),
    Column("acquired_at", Micros, nullable=False),
    Column("handed_by", Text, nullable=False),
)

# Calls that wait for a lock, first come first served by ordinal. They stay when the controller ends, so that a wait
# goes on with its place.
waits = Table(
    "waits",
    metadata,
    Column("ordinal", Integer, primary_key=True),
    Column("subject", Text, nullable=False),
    _owner(),
    Column("call_branch", Integer, nullable=False),
    Column("call_seq", BigInteger, nullable=False),
    UniqueConstraint("subject", "execution_id"),
    Index(None, "execution_id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", IdText, primary_key=True),
    Column("execution_id", IdText, nullable=False, index=True),
    Column("subject", CleanText, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("origin", Text, nullable=False, unique=True),
    Column("response", LargeBinary),
    Column("answered_at", Micros),
    Column("answered_by", Text, nullable=False),
    Index(None, "created_at", "id"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("flow_name", Text, nullable=False),
    Column("script", Text, nullable=False),
    Column("input_value", LargeBinary, nullable=False),
    Column("cron", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("interval_s", BigInteger, nullable=False),
    Column("missed", EnumText(Missed), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("next_run_at", Micros),
    Column("starting_at", Micros),
    Column("last_run_at", Micros),
    Column("last_execution_id", IdText, nullable=False),
    Column("last_error", CleanText, nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("flow_name", Text, nullable=False),
    Column("script", Text, nullable=False),
    Column("key_hash", Text, nullable=False),
    Column("synchronous", Boolean, nullable=False),
    Column("timeout_s", Integer, nullable=False),
    Column("created_at", Micros, nullable=False),
)

# Links and sessions of the web page. kind: link, session.
web_tokens = Table(
    "web_tokens",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("expires_at", Micros, nullable=False),
)
