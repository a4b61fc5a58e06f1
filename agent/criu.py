"""CRIU, and nothing but CRIU here: its options with their reasons, its processes, its words when it refuses."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import CriuRefused, SpoolFull
from agent.paths import CRIU_SERVICE_LOG, CRIU_SOCKET, SANDBOX_ROOT


def _import_pycriu() -> tuple[Any, Any, Any]:
    """pycriu without its image decoder: that is a hundred modules, 10 MB and 45 ms that an agent never uses."""
    spec = importlib.util.find_spec("pycriu")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("pycriu is not installed: it comes with Debian's package python3-pycriu")
    images = types.ModuleType("pycriu.images")
    images.__path__ = [f"{spec.submodule_search_locations[0]}/images"]
    sys.modules.setdefault("pycriu.images", images)
    import pycriu
    from pycriu import rpc_pb2
    from pycriu.images import stats_pb2

    return pycriu, rpc_pb2, stats_pb2


_pycriu, _rpc, _stats = _import_pycriu()

BINARY = "/usr/sbin/criu"

# A failed restore can hang CRIU for ever. Generous: a dump of many GB takes its time too.
_REQUEST_TIMEOUT_S = 600
_SERVICE_START_S = 10
# Unlinked but open files are part of the image up to this size; CRIU's own limit is 1 MiB.
_GHOST_LIMIT_BYTES = 1 << 30
# rpc.proto, enum criu_network_lock_method: nothing from outside reaches a tree's connections while it is frozen that
# TCP would not send again, and the iptables rules cost 10 ms.
_NETWORK_LOCK_SKIP = 3
_LOG_NOTHING = -1
_LOG_DEBUG = 4
_LOG_TAIL_LINES = 12
# A dump that failed with less room than this failed for want of room.
_FULL_BELOW_BYTES = 1 << 20
# CRIU wants more descriptors for itself than a container may have; it does without.
_HARMLESS = "Can't setup RLIMIT_NOFILE"


@dataclass(frozen=True, slots=True)
class DumpFigures:
    """What CRIU says of a dump, microseconds and 4 KiB pages."""

    frozen_us: int
    pages_written: int


class _Client(_pycriu.criu):  # type: ignore[name-defined, misc]
    """pycriu's client with a limit in time and with CRIU's notifications."""

    def __init__(self, on_notify: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self._on_notify = on_notify

    def _send_req_and_recv_resp(self, req: Any) -> Any:
        connection = self._comm.connect(False)
        try:
            connection.settimeout(_REQUEST_TIMEOUT_S)
            connection.send(req.SerializeToString())
            while True:
                response = _rpc.criu_resp()
                answer = connection.recv(1 << 16)
                if not answer:
                    raise CriuRefused("CRIU ended without an answer")
                response.ParseFromString(answer)
                if response.type != _rpc.NOTIFY:
                    return response
                acknowledgement = _rpc.criu_req(type=_rpc.NOTIFY, notify_success=self._notify(response.notify.script))
                connection.send(acknowledgement.SerializeToString())
        except TimeoutError as error:
            raise CriuRefused(f"CRIU gave no answer for {_REQUEST_TIMEOUT_S} s") from error
        finally:
            self._comm.disconnect()

    def _notify(self, script: str) -> bool:
        if self._on_notify is not None:
            self._on_notify(script)
        return True


class Service:
    """A warm `criu service`: it forks for each request, which saves loading 25 libraries each time.

    Its socket lies where no flow can see it: before CRIU 4.3 whoever reaches it runs code as root.
    """

    def __init__(self) -> None:
        CRIU_SOCKET.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [BINARY, "service", "--address", str(CRIU_SOCKET), "-v0", "-o", str(CRIU_SERVICE_LOG)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def client(self, on_notify: Callable[[str], None] | None = None) -> _Client:
        """Waits for a service that has only just been started. Raises CriuRefused when it does not come up."""
        deadline = time.monotonic() + _SERVICE_START_S
        while not CRIU_SOCKET.exists():
            if time.monotonic() > deadline:
                raise CriuRefused(f"criu service did not start: {_words(CRIU_SERVICE_LOG)}")
            time.sleep(0.002)
        client = _Client(on_notify)
        client.use_sk(str(CRIU_SOCKET))
        return client


class Worker:
    """A `criu swrk`, started ahead of the restore that uses it up.

    A restore needs one of its own: the pipes that a restored tree inherits are descriptors of this process.
    """

    def __init__(self, pass_fds: tuple[int, ...]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [BINARY, "swrk", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(*pass_fds, theirs.fileno()),
            )

    def client(self) -> _Client:
        client = _Client()
        client.use_fd(self._ours.fileno())
        return client

    def close(self) -> None:
        """End it, whether it was used or not."""
        self._ours.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)


def _common(options: Any, images: int, log_level: int, log_file: str) -> None:
    options.images_dir_fd = images
    options.log_level = log_level
    options.log_file = log_file
    options.file_locks = True
    options.ghost_limit = _GHOST_LIMIT_BYTES
    options.network_lock = _NETWORK_LOCK_SKIP
    # The container's cgroups belong to Docker: a restored tree stays in those of the agent.
    options.manage_cgroups = False
    options.manage_cgroups_mode = _rpc.IGNORE


def dump(
    service: Service,
    pid: int,
    folder: Path,
    external: Mapping[str, tuple[str, str]],
    *,
    leave_stopped: bool,
    while_frozen: Callable[[], None],
) -> DumpFigures:
    """Write the images of the tree below pid into an empty folder.

    while_frozen runs while every process stands still. Afterwards the tree runs, or is stopped. Raises CriuRefused with
    the errors of CRIU's log; the tree then runs as before.
    """

    def on_notify(script: str) -> None:
        if script == "post-dump":
            while_frozen()

    def attempt(log_level: int) -> bool:
        client = service.client(on_notify)
        images = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            options = client.opts
            _common(options, images, log_level, "dump.log")
            options.pid = pid
            options.external.extend(f"mnt[{path}]:{key}" for key, (path, _) in external.items())
            options.leave_running = not leave_stopped
            options.leave_stopped = leave_stopped
            # Connections are dumped as they are; the process that runs on keeps them.
            options.tcp_established = True
            # A connection that nobody accepted yet would make CRIU refuse the whole tree; its peer gets a reset.
            options.tcp_skip_in_flight = True
            options.notify_scripts = True
            client.dump()
        except _pycriu.CRIUException:
            return False
        finally:
            os.close(images)
        return True

    if not attempt(_LOG_NOTHING) and not attempt(_LOG_DEBUG):
        words = f"CRIU could not dump the process tree: {_words(folder / 'dump.log')}"
        if _is_full(folder):
            raise SpoolFull(f"No space left in the spool. {words}")
        raise CriuRefused(words)
    figures = _read_stats(folder / "stats-dump")
    for leftover in ("dump.log", "stats-dump"):
        (folder / leftover).unlink(missing_ok=True)
    return figures


def restore(
    worker: Worker,
    folder: Path,
    external: Mapping[str, tuple[str, str]],
    inherited: Mapping[str, int],
    *,
    say_why: bool = False,
) -> int:
    """Bring the tree in the folder to life beside whatever runs; answers its first process' pid, a child of ours.

    inherited: key of a descriptor at the dump ("pipe:[123]") -> our descriptor that takes its place. Raises
    CriuRefused; say_why logs in full, for the second try after a failure.
    """
    client = worker.client()
    log = folder / "restore.log"
    images = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        options = client.opts
        _common(options, images, _LOG_DEBUG if say_why else _LOG_NOTHING, "restore.log")
        options.root = str(SANDBOX_ROOT)
        options.external.extend(f"mnt[{key}]:{place}" for key, (_, place) in external.items())
        # The restored tree becomes the agent's child, so that the agent reaps it.
        options.rst_sibling = True
        # The peer of an old connection has moved on: a clean error, and the program connects again.
        options.tcp_close = True
        for key, fd in inherited.items():
            options.inherit_fd.add(key=key, fd=fd)
        return int(client.restore().pid)
    except _pycriu.CRIUException as error:
        raise CriuRefused(f"CRIU could not restore the savepoint: {_words(log) or error}") from error
    finally:
        os.close(images)
        log.unlink(missing_ok=True)


def _is_full(folder: Path) -> bool:
    """CRIU's own words can't tell: its log is on the same disk, and ends wherever that was full."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < _FULL_BELOW_BYTES


def version() -> str:
    """As `criu --version` has it: "4.2.1"."""
    answer = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout
    return answer.partition(":")[2].split()[0]


def _words(log: Path) -> str:
    """The errors of a log, or its last lines where it names none."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    errors = [line for line in lines if "Error" in line and _HARMLESS not in line]
    return " | ".join(line.strip() for line in (errors or lines)[-_LOG_TAIL_LINES:])


_STATS_HEADER_BYTES = 12  # two magic numbers and the length of what follows


def _read_stats(path: Path) -> DumpFigures:
    entry = _stats.stats_entry()
    entry.ParseFromString(path.read_bytes()[_STATS_HEADER_BYTES:])
    return DumpFigures(frozen_us=entry.dump.frozen_time, pages_written=entry.dump.pages_written)
