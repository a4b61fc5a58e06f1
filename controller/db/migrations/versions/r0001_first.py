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
        sa.PrimaryKeyConstraint("name", name=op.f("pk_connections")),
    )
    op.create_table(
        "files",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
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
        "settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
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
        sa.Column("log_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["flow_version"], ["flows.version"], name=op.f("fk_executions_flow_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_executions")),
    )
    op.create_index(op.f("ix_executions_created_at_id"), "executions", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_executions_name"), "executions", ["name"], unique=False)
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
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_savepoints_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_savepoints")),
        sa.UniqueConstraint("execution_id", "number", name=op.f("uq_savepoints_execution_id_number")),
    )
    op.create_index(
        op.f("ix_savepoints_execution_id_branch_seq"), "savepoints", ["execution_id", "branch", "seq"], unique=False
    )
