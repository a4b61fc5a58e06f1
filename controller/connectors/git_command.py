"""Running git: alone with its own folder, without the settings, helpers and keys of the controller's user."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from dataclasses import dataclass
from pathlib import Path

from controller.connectors.errors import refused

# ext:: would run any program on the controller's host.
_PROTOCOLS = "https:http:ssh:git:file"
_SSH_PORT = 22
_UNREACHED = (
    "could not resolve host",
    "connection refused",
    "connection timed out",
    "connection reset",
    "no route to host",
    "network is unreachable",
    "failed to connect",
)


class GitFailed(Exception):
    """Git ended with an error; the text is what it said."""

    @property
    def unreached(self) -> bool:
        """The network failed, and nothing was done."""
        said = str(self).lower()
        return any(sign in said for sign in _UNREACHED)


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in at the other side; None for what was not given."""

    username: str | None
    password: str | None
    key: str | None
    hostkey: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """A server, and the address of it to connect to."""

    host: str
    port: int
    address: str


class Git:
    """`await git("rev-parse", "HEAD")` in a bare repository, with what is needed to log in."""

    def __init__(self, folder: Path, login: Login, place: Place | None) -> None:
        """place: where a flow leads it; None where an operator does."""
        self._repository = folder / "repository"
        self._repository.mkdir()
        self.author = ("flowsnap", "flowsnap@localhost")
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "GIT_DIR": str(self._repository),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
            "GIT_SSH_COMMAND": _ssh_command(folder, login, place),
        }
        # Repositories of other users on this host may be read: what is in them is not run.
        config = "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n"
        if place is not None:
            config += (
                f"[http]\n\tfollowRedirects = false\n\tcurloptResolve = {place.host}:{place.port}:{place.address}\n"
            )
        (folder / ".gitconfig").write_text(config)
        if login.password is not None:
            ask = folder / "ask"
            ask.write_text(
                '#!/bin/sh\ncase $1 in Username*) printf %s "$GIT_USER" ;; *) printf %s "$GIT_PASS" ;; esac\n'
            )
            ask.chmod(0o700)
            # By the environment, for arguments can be read by every user of the host.
            self._environment |= {
                "GIT_ASKPASS": str(ask),
                "GIT_USER": login.username or "git",
                "GIT_PASS": login.password,
            }

    async def __call__(self, *arguments: str, given: bytes = b"") -> bytes:
        """Its output. Raises GitFailed, and ConnectorError when there is no git."""
        name, address = self.author
        people = {
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": address,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": address,
        }
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *arguments,
                cwd=self._repository,
                env={**self._environment, **people},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise refused("there is no program git where the controller runs; install it there") from error
        try:
            output, said = await process.communicate(given)
        except BaseException:
            # A timeout, or a load that took the flow elsewhere. Its helpers end with it: they are of its group.
            _end(process)
            await process.wait()
            raise
        if process.returncode:
            raise GitFailed(" ".join(said.decode("utf-8", "replace").split()) or f"git ended with {process.returncode}")
        return output


def _end(process: asyncio.subprocess.Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _ssh_command(folder: Path, login: Login, place: Place | None) -> str:
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
    if login.key is not None:
        key = folder / "key"
        key.touch(mode=0o600)
        key.write_text(login.key.rstrip("\n") + "\n")
        options += ["-i", str(key)]
    else:
        # Otherwise it would take those of the controller's user.
        options += ["-o", "IdentityFile=none"]
    if place is not None:
        known_as = place.host if place.port == _SSH_PORT else f"[{place.host}]:{place.port}"
        options += ["-o", f"HostName={place.address}", "-o", f"HostKeyAlias={known_as}"]
    if login.hostkey is not None:
        known = folder / "known_hosts"
        known.write_text("".join(f"* {line.strip()}\n" for line in login.hostkey.splitlines() if line.strip()))
        options += ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
    return shlex.join(["ssh", *options])
