"""Servers that the connectors talk to: each the real program, on a free port of loopback, in a folder of its own."""

from __future__ import annotations

import email
import email.policy
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificate

from controller.connectors import ConnectorError, connector

USER = "ann"
PASSWORD = "s3cret-pw"
HOST = "127.0.0.1"
KEY = "execution-1-7"

_START_S = 30


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens, and how it logs people in."""

    port: int
    username: str = USER
    password: str = PASSWORD
    host: str = HOST
    tls_port: int = 0  # where TLS has a port of its own

    def __call__(self) -> dict[str, Any]:
        """As a connector's inputs."""
        return {"host": self.host, "port": self.port, "username": self.username, "password": self.password}


@dataclass(frozen=True)
class SshServer:
    """An OpenSSH server that takes one key."""

    port: int
    key: str
    hostkey: str

    def __call__(self) -> dict[str, Any]:
        user = pwd.getpwuid(os.geteuid()).pw_name
        return {"host": HOST, "port": self.port, "username": user, "key": self.key, "hostkey": self.hostkey}


class TakenMail:
    """What an SMTP server took, in its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self._folder.iterdir())]

    def newest(self) -> Any:
        content = self.records()[-1]["content"].encode("utf-8", "surrogateescape")
        return email.message_from_bytes(content, policy=email.policy.default)


async def call(connector_type: str, **inputs: Any) -> dict[str, Any]:
    return await connector(connector_type).call(inputs, idempotency_key=KEY)


async def refusal(connector_type: str, **inputs: Any) -> tuple[str, str]:
    """The exception's name in a flow, and its message, in which no password stands."""
    with pytest.raises(ConnectorError) as caught:
        await call(connector_type, **inputs)
    message = str(caught.value)
    for name in ("password", "key", "secret_access_key"):
        secret = inputs.get(name)
        assert not (isinstance(secret, str) and len(secret) > 3 and secret in message), message
    return caught.value.error_type, message


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def short_folder() -> Iterator[Path]:
    """Below /tmp: paths of sockets have a limit, and other users must get in."""
    folder = Path(tempfile.mkdtemp(prefix="fs-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        raise RuntimeError(f"the connectors' tests need {name}: install the package {package}")
    return found


@contextmanager
def running(*command: str | Path, port: int, log: Path | None = None) -> Iterator[None]:
    """A process group from when its port answers until the end of the block."""
    with tempfile.TemporaryFile() as own_log:
        process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=own_log, stderr=own_log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + _START_S
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    own_log.seek(0)
                    said = own_log.read().decode(errors="replace") + (log.read_text() if log and log.exists() else "")
                    raise RuntimeError(f"{command[0]} did not start: {said[-3000:]}")
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


@contextmanager
def running_mariadb(folder: Path, certificate: Certificate) -> Iterator[Endpoint]:
    user = pwd.getpwuid(os.geteuid()).pw_name
    data, port = folder / "data", free_port()
    install = program("mariadb-install-db", "mariadb-server")
    done = subprocess.run(
        [install, "--no-defaults", f"--datadir={data}", f"--user={user}", "--skip-test-db"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{install} failed: {done.stdout}{done.stderr}")
    start = folder / "start.sql"
    start.write_text(
        f"CREATE DATABASE shop CHARACTER SET utf8mb4;\nCREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}';\n"
        f"GRANT ALL ON shop.* TO {USER}@'%';\n"
    )
    with running(
        program("mariadbd", "mariadb-server"),
        "--no-defaults",
        f"--datadir={data}",
        f"--user={user}",
        f"--socket={folder}/socket",
        f"--pid-file={folder}/pid",
        f"--port={port}",
        f"--bind-address={HOST}",
        f"--init-file={start}",
        "--skip-name-resolve",
        f"--ssl-cert={certificate.certificate}",
        f"--ssl-key={certificate.key}",
        port=port,
    ):
        yield Endpoint(port)


@contextmanager
def running_redis(folder: Path, certificate: Certificate) -> Iterator[Endpoint]:
    port, tls_port = free_port(), free_port()
    config = folder / "redis.conf"
    config.write_text(
        f'bind {HOST}\nport {port}\nsave ""\ndir {folder}\nuser {USER} on >{PASSWORD} ~* &* +@all\n'
        f"tls-port {tls_port}\ntls-cert-file {certificate.certificate}\ntls-key-file {certificate.key}\n"
        f"tls-ca-cert-file {certificate.certificate}\ntls-auth-clients no\n"
    )
    with running(program("redis-server", "redis-server"), config, port=port):
        yield Endpoint(port, tls_port=tls_port)


@contextmanager
def running_sshd(folder: Path) -> Iterator[SshServer]:
    port = free_port()
    for name in ("host", "user"):
        keygen = [program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True)
    config = folder / "config"
    config.write_text(
        f"Port {port}\nListenAddress {HOST}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        "PasswordAuthentication no\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with running(program("sshd", "openssh-server"), "-D", "-e", "-f", config, port=port):
        yield SshServer(port, (folder / "user").read_text(), (folder / "host.pub").read_text())


@contextmanager
def running_dovecot(folder: Path, certificate: Certificate) -> Iterator[Endpoint]:
    port, tls_port = free_port(), free_port()
    mail = folder / "mail"
    account = pwd.getpwnam("mail")
    mail.mkdir()
    os.chown(mail, account.pw_uid, account.pw_gid)
    config = folder / "dovecot.conf"
    config.write_text(
        f"""
        protocols = imap
        listen = {HOST}
        base_dir = {folder}/run
        state_dir = {folder}/state
        log_path = {folder}/log
        ssl = yes
        ssl_cert = <{certificate.certificate}
        ssl_key = <{certificate.key}
        disable_plaintext_auth = no
        first_valid_uid = 1
        first_valid_gid = 1
        mail_location = maildir:{mail}/%u
        passdb {{
          driver = static
          args = password={PASSWORD}
        }}
        userdb {{
          driver = static
          args = uid={account.pw_uid} gid={account.pw_gid} home={mail}/%u
        }}
        service imap-login {{
          inet_listener imap {{
            port = {port}
          }}
          inet_listener imaps {{
            port = {tls_port}
          }}
        }}
        """
    )
    with running(program("dovecot", "dovecot-imapd"), "-F", "-c", config, port=port, log=folder / "log"):
        yield Endpoint(port, tls_port=tls_port)


@contextmanager
def running_slapd(folder: Path, certificate: Certificate) -> Iterator[Endpoint]:
    port, tls_port = free_port(), free_port()
    (folder / "data").mkdir()
    config = folder / "slapd.conf"
    admin = "cn=admin,dc=example,dc=com"
    config.write_text(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n"
        "include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        f"TLSCertificateFile {certificate.certificate}\nTLSCertificateKeyFile {certificate.key}\n"
        f"pidfile {folder}/pid\ndatabase mdb\nsuffix dc=example,dc=com\nrootdn {admin}\nrootpw {PASSWORD}\n"
        f"directory {folder}/data\n"
    )
    # Added before it starts: this version of it breaks off when asked to delete from an empty directory.
    ldif = "dn: dc=example,dc=com\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: x\n"
    subprocess.run([program("slapadd", "slapd"), "-f", config], input=ldif, text=True, check=True)
    command = (
        program("slapd", "slapd"),
        "-d",
        "0",
        "-f",
        config,
        "-h",
        f"ldap://{HOST}:{port} ldaps://{HOST}:{tls_port}",
    )
    with running(*command, port=port):
        yield Endpoint(port, username=admin, tls_port=tls_port)


@contextmanager
def running_s3() -> Iterator[str]:
    port = free_port()
    with running(sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port), port=port):
        yield f"http://{HOST}:{port}"


@contextmanager
def running_webdav(folder: Path) -> Iterator[Endpoint]:
    port = free_port()
    files = folder / "files"
    files.mkdir()
    config = folder / "wsgidav.json"
    config.write_text(
        f'{{"host": "{HOST}", "port": {port}, "provider_mapping": {{"/": "{files}"}},'
        f' "simple_dc": {{"user_mapping": {{"*": {{"{USER}": {{"password": "{PASSWORD}"}}}}}}}},'
        ' "http_authenticator": {"accept_basic": true, "accept_digest": false, "default_to_digest": false},'
        ' "logging": {"enable": false}}'
    )
    start = "from wsgidav.server.server_cli import run; run()"
    with running(sys.executable, "-c", start, "--config", config, port=port):
        yield Endpoint(port)


@contextmanager
def running_ftp(folder: Path) -> Iterator[Endpoint]:
    port = free_port()
    command = ("-m", "pyftpdlib", "-i", HOST, "-p", str(port), "-w", "-d", folder, "-u", USER, "-P", PASSWORD)
    with running(sys.executable, *command, port=port):
        yield Endpoint(port)


@contextmanager
def running_smtp(folder: Path, certificate: Certificate) -> Iterator[tuple[dict[str, Any], TakenMail]]:
    """Its inputs, without TLS though it has STARTTLS; and what it took."""
    port, program_ = free_port(), Path(__file__).with_name("smtp_server.py")
    files = certificate.certificate, certificate.key
    with running(sys.executable, program_, str(port), folder, USER, PASSWORD, *files, port=port):
        yield {"host": HOST, "port": port, "tls": "off", "username": USER, "password": PASSWORD}, TakenMail(folder)
