"""Migrations: they build what the code expects, once, and on damaged or foreign databases say what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import database_records as records
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from controller.db import SqlDatabase, migrate, sqlite_url
from controller.db.engine import open_engine
from controller.db.migrate import MIGRATIONS
from controller.db.schema import REVISION, metadata
from controller.errors import DataLoss, FailedPrecondition, InvalidArgument, Unavailable


def test_tables_and_migrations_agree_when_a_new_database_is_migrated(database_url: str) -> None:
    engine = open_engine(database_url, "process")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_revision_in_the_code_is_the_newest_when_migrations_are_read() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [REVISION]


def test_records_stay_when_a_database_is_migrated_again(database_url: str, database: SqlDatabase) -> None:
    database.add_execution(records.execution(), records.FLOW)
    migrate(database_url)
    assert database.execution("e1") == records.execution()


def test_alembic_is_not_imported_when_the_database_is_up_to_date(database_url: str) -> None:
    script = "import sys; from controller.db import migrate; migrate(sys.argv[1]); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, database_url], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_newer_version_is_asked_for_when_a_newer_one_migrated_the_database(database_url: str) -> None:
    engine = open_engine(database_url, "process")
    with engine.execution_options(writing=True).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(FailedPrecondition, match=r"9999.*newer flowsnap"):
        migrate(database_url)


def test_migrating_is_asked_for_when_there_are_no_tables(empty_database_url: str) -> None:
    database = SqlDatabase(empty_database_url)
    with pytest.raises(FailedPrecondition, match="run the migrations first"):
        database.execution("e1")
    database.close()


def test_file_is_called_no_database_when_it_is_none(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database " * 1000)
    with pytest.raises(DataLoss, match=r"notes.txt.*file is not a database"):
        migrate(sqlite_url(file))


def test_folder_is_pointed_at_when_it_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"unable to open database file.*folder"):
        migrate(sqlite_url(tmp_path / "no" / "such.db"))


def test_server_is_pointed_at_and_password_hidden_when_it_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="check that the database server runs") as caught:
        migrate(f"postgresql://me:hush@/flowsnap?host={tmp_path}")
    assert "hush" not in str(caught.value)


def test_url_is_refused_when_no_engine_is_known_for_it() -> None:
    with pytest.raises(InvalidArgument, match="use sqlite:"):
        migrate("nosuch://x")


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("host", 2)])
def test_sqlite_waits_for_the_disk_as_the_durability_asks(tmp_path: Path, durability: str, synchronous: int) -> None:
    engine = open_engine(sqlite_url(tmp_path / "x.db"), durability)  # type: ignore[arg-type]
    with engine.connect() as connection:
        values = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("synchronous", "journal_mode")]
    engine.dispose()
    assert values == [synchronous, "wal"]
