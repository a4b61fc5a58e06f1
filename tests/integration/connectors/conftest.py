"""Real servers on loopback, one of each kind for the whole run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))

import connector_servers as servers
from certificates import Certificate, new_certificate
from postgres_server import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def certificate() -> Iterator[Certificate]:
    with servers.short_folder() as folder:
        yield new_certificate(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(certificate: Certificate) -> Iterator[servers.Endpoint]:
    with servers.short_folder() as folder, servers.running_mariadb(folder, certificate) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(certificate: Certificate) -> Iterator[servers.Endpoint]:
    with servers.short_folder() as folder, servers.running_redis(folder, certificate) as server:
        yield server


@pytest.fixture(scope="session")
def sshd() -> Iterator[servers.SshServer]:
    with servers.short_folder() as folder, servers.running_sshd(folder) as server:
        yield server


@pytest.fixture(scope="session")
def dovecot(certificate: Certificate) -> Iterator[servers.Endpoint]:
    with servers.short_folder() as folder, servers.running_dovecot(folder, certificate) as server:
        yield server


@pytest.fixture(scope="session")
def slapd(certificate: Certificate) -> Iterator[servers.Endpoint]:
    with servers.short_folder() as folder, servers.running_slapd(folder, certificate) as server:
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


@pytest.fixture
def smtp(tmp_path: Path, certificate: Certificate) -> Iterator[tuple[dict[str, Any], servers.TakenMail]]:
    folder = tmp_path / "taken"
    folder.mkdir()
    with servers.running_smtp(folder, certificate) as found:
        yield found
