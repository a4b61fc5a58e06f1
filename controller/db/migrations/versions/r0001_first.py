"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Types are spelled out: a revision stays as it is when controller.db.types changes.
_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "connections",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("connector_type", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("secrets", sa.LargeBinary(), nullable=False),
        sa.Column("saved_by", _ID, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_connections")),
    )
    op.create_table(
        "files",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_files")),
    )
    op.create_table(
        "flows",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("script", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_flows")),
    )
    op.create_table(
        "flow_files",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["version"], ["flows.version"], name=op.f("fk_flow_files_version")),
        sa.PrimaryKeyConstraint("version", "path", name=op.f("pk_flow_files")),
    )
    op.create_table(
        "releases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["version"], ["flows.version"], name=op.f("fk_releases_version")),
        sa.PrimaryKeyConstraint("name", "number", name=op.f("pk_releases")),
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_settings")),
    )
    op.create_table(
        "executions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("flow_name", sa.Text(), nullable=False),
        sa.Column("flow_version", sa.Text(), nullable=False),
        sa.Column("input_value", sa.LargeBinary(), nullable=False),
        sa.Column("output_value", sa.LargeBinary(), nullable=False),
        sa.Column("container_image", sa.Text(), nullable=False),
        sa.Column("memory_limit_bytes", sa.BigInteger(), nullable=False),
        sa.Column("pids_limit", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("branch", sa.Integer(), nullable=False),
        sa.Column("head_savepoint_id", _ID, nullable=True),
        sa.Column("savepoint_count", sa.Integer(), nullable=False),
        sa.Column("last_call", sa.Text(), nullable=False),
        sa.Column("last_file", sa.Text(), nullable=False),
        sa.Column("last_line", sa.Integer(), nullable=False),
        sa.Column("load_count", sa.Integer(), nullable=False),
        sa.Column("script_load_count", sa.Integer(), nullable=False),
        sa.Column("recovery_count", sa.Integer(), nullable=False),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.Column("strike_savepoint_id", _ID, nullable=True),
        sa.Column("own_losses", sa.Integer(), nullable=False),
        sa.Column("parked", sa.Boolean(), nullable=False),
        sa.Column("retry_limit", sa.Integer(), nullable=False),
        sa.Column("retry_from", sa.Text(), nullable=False),
        sa.Column("retry_backoff_s", sa.Float(), nullable=False),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("parent_id", _ID, nullable=True),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("container_image_name", sa.Text(), nullable=False),
        sa.Column("forked_from_execution_id", _ID, nullable=True),
        sa.Column("forked_from_savepoint_id", _ID, nullable=False),
        sa.Column("forked_from_number", sa.Integer(), nullable=False),
        sa.Column("forked_from_name", sa.Text(), nullable=False),
        sa.Column("fork_index", sa.Integer(), nullable=False),
        sa.Column("log_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["executions.id"], name=op.f("fk_executions_parent_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["flow_version"], ["flows.version"], name=op.f("fk_executions_flow_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_executions")),
    )
    op.create_index(op.f("ix_executions_created_at_id"), "executions", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_executions_name"), "executions", ["name"], unique=False)
    op.create_index(op.f("ix_executions_parent_id"), "executions", ["parent_id"], unique=False)
    op.create_index(op.f("ix_executions_status"), "executions", ["status"], unique=False)
    op.create_table(
        "calls",
        sa.Column("execution_id", _ID, nullable=False),
        sa.Column("branch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("args", sa.LargeBinary(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("redo_of_savepoint_id", _ID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("halt", sa.Boolean(), nullable=True),
        sa.Column("ends", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_calls_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("execution_id", "branch", "seq", name=op.f("pk_calls")),
    )
    op.create_table(
        "loads",
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("execution_id", _ID, nullable=False),
        sa.Column("savepoint_id", _ID, nullable=False),
        sa.Column("loaded_id", _ID, nullable=False),
        sa.Column("loaded_number", sa.Integer(), nullable=False),
        sa.Column("loaded_name", sa.Text(), nullable=False),
        sa.Column("before_savepoint_id", _ID, nullable=True),
        sa.Column("before_status", sa.Text(), nullable=False),
        sa.Column("before_message", sa.Text(), nullable=False),
        sa.Column("before_output_value", sa.LargeBinary(), nullable=False),
        sa.Column("before_ended_at", sa.BigInteger(), nullable=True),
        sa.Column("branch_from", sa.Integer(), nullable=False),
        sa.Column("branch_to", sa.Integer(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_loads_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ordinal", name=op.f("pk_loads")),
        sa.UniqueConstraint("id", name=op.f("uq_loads_id")),
    )
    op.create_index(op.f("ix_loads_execution_id"), "loads", ["execution_id"], unique=False)
    op.create_table(
        "log_lines",
        sa.Column("execution_id", _ID, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_log_lines_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("execution_id", "number", name=op.f("pk_log_lines")),
    )
    op.create_table(
        "usage_samples",
        sa.Column("execution_id", _ID, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("cpu_us", sa.BigInteger(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("pids", sa.Integer(), nullable=False),
        sa.Column("container", sa.Text(), nullable=False),
        sa.Column("container_cpu_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_usage_samples_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("execution_id", "number", name=op.f("pk_usage_samples")),
    )
    op.create_table(
        "savepoints",
        sa.Column("id", _ID, nullable=False),
        sa.Column("execution_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("branch", sa.Integer(), nullable=False),
        sa.Column("parent_id", _ID, nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("open_calls", sa.Text(), nullable=False),
        sa.Column("output_value", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("raw_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("frozen_us", sa.BigInteger(), nullable=False),
        sa.Column("dump_us", sa.BigInteger(), nullable=False),
        sa.Column("script_loads", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("image_dir", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_savepoints_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_savepoints")),
        sa.UniqueConstraint("execution_id", "number", name=op.f("uq_savepoints_execution_id_number")),
    )
    op.create_index(
        op.f("ix_savepoints_execution_id_branch_seq"), "savepoints", ["execution_id", "branch", "seq"], unique=False
    )
    op.create_index(op.f("ix_savepoints_parent_id"), "savepoints", ["parent_id"], unique=False)
    op.create_table(
        "retention",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("execution_id", _ID, nullable=True),
        sa.Column("newest", sa.BigInteger(), nullable=True),
        sa.Column("one_in", sa.BigInteger(), nullable=True),
        sa.Column("max_age_s", sa.BigInteger(), nullable=True),
        sa.Column("max_number", sa.BigInteger(), nullable=True),
        sa.Column("max_bytes", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_retention_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("scope", "subject", name=op.f("pk_retention")),
    )
    op.create_index(op.f("ix_retention_execution_id"), "retention", ["execution_id"], unique=False)
    op.create_table(
        "locks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("execution_id", _ID, nullable=False),
        sa.Column("call_branch", sa.Integer(), nullable=False),
        sa.Column("call_seq", sa.BigInteger(), nullable=False),
        sa.Column("acquired_at", sa.BigInteger(), nullable=False),
        sa.Column("handed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_locks")),
    )
    op.create_table(
        "messages",
        sa.Column("id", _ID, nullable=False),
        sa.Column("execution_id", _ID, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("origin", name=op.f("uq_messages_origin")),
    )
    op.create_index(op.f("ix_messages_created_at_id"), "messages", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_messages_execution_id"), "messages", ["execution_id"], unique=False)
    op.create_table(
        "schedules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("flow_name", sa.Text(), nullable=False),
        sa.Column("script", sa.Text(), nullable=False),
        sa.Column("input_value", sa.LargeBinary(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("interval_s", sa.BigInteger(), nullable=False),
        sa.Column("missed", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("next_run_at", sa.BigInteger(), nullable=True),
        sa.Column("starting_at", sa.BigInteger(), nullable=True),
        sa.Column("last_run_at", sa.BigInteger(), nullable=True),
        sa.Column("last_execution_id", _ID, nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )
    op.create_table(
        "webhooks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("flow_name", sa.Text(), nullable=False),
        sa.Column("script", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("synchronous", sa.Boolean(), nullable=False),
        sa.Column("timeout_s", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "waits",
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("execution_id", _ID, nullable=False),
        sa.Column("call_branch", sa.Integer(), nullable=False),
        sa.Column("call_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_waits_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ordinal", name=op.f("pk_waits")),
        sa.UniqueConstraint("subject", "execution_id", name=op.f("uq_waits_subject_execution_id")),
    )
    op.create_index(op.f("ix_waits_execution_id"), "waits", ["execution_id"], unique=False)
    op.create_table(
        "web_tokens",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_web_tokens")),
    )
