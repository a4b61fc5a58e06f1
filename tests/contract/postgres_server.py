"""A PostgreSQL server of the test run's own, in a temporary folder, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class PostgresServer:
    """Listens on a unix socket only; whoever connects is its superuser."""

    def __init__(self, folder: Path, user: str) -> None:
        self.folder = folder
        self.user = user

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{uuid.uuid4().hex}"
        subprocess.run(
            ["psql", "-qX", "-h", self.folder, "-U", self.user, "-d", "postgres", "-c", f"CREATE DATABASE {name}"],
            check=True,
        )
        return self.url(name)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise RuntimeError(
            "the database tests need a PostgreSQL server: initdb is neither in /usr/lib/postgresql/*/bin nor on PATH;"
            " install the package postgresql"
        )
    return Path(on_path).resolve().parent


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a server and stop it at the end. It refuses to run as root, so for root it runs as user postgres."""
    binaries = _binaries()
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    account = pwd.getpwnam(user)
    # Not pytest's folder: that is closed to other users. A short path, because socket paths have a limit.
    folder = Path(tempfile.mkdtemp(prefix="flowsnap-pg-", dir="/tmp"))
    os.chown(folder, account.pw_uid, account.pw_gid)

    # Not subprocess's user=: with it Python forks instead of vforking, and gRPC, which other tests have used in this
    # process, wakes its poller in the child, where it may die before the program begins.
    ids = ["--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]
    as_user = ["setpriv", *ids, "--"] if os.geteuid() == 0 else []

    def run(*command: str | Path) -> None:
        done = subprocess.run(
            [*as_user, *command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            log = folder / "log"
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{log.read_text() if log.exists() else ''}")

    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    data = folder / "data"
    try:
        run(binaries / "initdb", "-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        run(binaries / "pg_ctl", "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
        try:
            yield PostgresServer(folder, user)
        finally:
            run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
