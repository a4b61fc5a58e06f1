"""Bringing a database's tables up to date."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, Text, column, select, table
from sqlalchemy.exc import DBAPIError

from controller.db.engine import open_engine
from controller.db.failures import translated
from controller.db.schema import REVISION
from controller.errors import FailedPrecondition

MIGRATIONS = Path(__file__).parent / "migrations"

_SELECT_REVISION = select(column("version_num", Text)).select_from(table("alembic_version"))


def migrate(url: str) -> None:
    """Create the tables, or bring them to this program's revision; quick when they are there already.

    Raises FailedPrecondition for a database that a newer program has migrated, Unavailable when it does not answer.
    """
    engine = open_engine(url, "host")
    try:
        if _revision(engine) != REVISION:
            _upgrade(engine)
    finally:
        engine.dispose()


def _revision(engine: Engine) -> str | None:
    """None also when there are no tables, which every engine words differently, or no database answers."""
    try:
        with engine.connect() as connection:
            return connection.execute(_SELECT_REVISION).scalar()
    except DBAPIError:
        return None


def _upgrade(engine: Engine) -> None:
    # Alembic takes 100 ms to import: only a start that has something to migrate pays for it.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    where = engine.url.render_as_string(hide_password=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        with engine.execution_options(writing=True).begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise translated(error, where) from error
    except CommandError as error:
        raise FailedPrecondition(
            f"database {where}: {error}; a newer flowsnap has migrated it: run that version, or name another database"
        ) from error
