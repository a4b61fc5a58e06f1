"""Real servers on loopback, one of each kind for the whole run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))

import connector_servers as servers
from postgres_server import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[servers.Endpoint]:
    with servers.short_folder() as folder, servers.running_mariadb(folder) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Endpoint]:
    with servers.short_folder() as folder, servers.running_redis(folder) as server:
        yield server


@pytest.fixture(scope="session")
def sshd() -> Iterator[servers.SshServer]:
    with servers.short_folder() as folder, servers.running_sshd(folder) as server:
        yield server


@pytest.fixture(scope="session")
def dovecot() -> Iterator[servers.Endpoint]:
    with servers.short_folder() as folder, servers.running_dovecot(folder) as server:
        yield server


@pytest.fixture(scope="session")
def slapd() -> Iterator[servers.Endpoint]:
    with servers.short_folder() as folder, servers.running_slapd(folder) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    with servers.running_s3() as url:
        yield url


@pytest.fixture(scope="session")
def webdav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Endpoint]:
    with servers.running_webdav(tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Endpoint]:
    with servers.running_ftp(tmp_path_factory.mktemp("ftp")) as server:
        yield server
