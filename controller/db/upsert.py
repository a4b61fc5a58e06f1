"""INSERT ... ON CONFLICT: the same SQL on SQLite and PostgreSQL, but a construct of its own for each in SQLAlchemy."""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert


def insert_or_keep(dialect: str, table: Table) -> Insert:
    """Insert a row, or leave the one with its primary key as it is."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_or_replace(dialect: str, table: Table) -> Insert:
    """Insert a row, or give the one with its primary key the new values."""
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    values = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)
