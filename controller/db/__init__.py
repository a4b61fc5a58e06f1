"""Durable records on SQLite or PostgreSQL."""

from controller.db.database import SqlDatabase
from controller.db.engine import sqlite_url
from controller.db.migrate import migrate

__all__ = ["SqlDatabase", "migrate", "sqlite_url"]
