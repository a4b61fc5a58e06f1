"""A second Docker engine, of the tests' own: one that may be killed, stopped and started again.

It lives, with a containerd of its own and all their containers, in process, mount and network namespaces of its own. So
nothing of it outlasts the first process of these, whatever becomes of the test, and it can't reach what belongs to the
machine's engine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from platform_under_test import IMAGE

_START_S = 60
# Process 1: the kernel reaps for it, and its end is that of the test, or of this pipe.
_INIT = "import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); sys.stdin.buffer.read()"
_CONTAINERD = """
version = 2
root = "{folder}/containerd"
state = "{folder}/c"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
address = "{folder}/c.sock"

[ttrpc]
address = "{folder}/c.ttrpc"

[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
"""


class OwnEngine:
    """Not running at first. It has the execution image, and the networks none and host alone."""

    def __init__(self, folder: Path) -> None:
        """folder: a short path, because of the sockets in it."""
        self._folder = folder
        self._cgroup = folder.name
        self._engine: subprocess.Popen[bytes] | None = None
        # An engine without a bridge removes docker0, which is that of the machine's engine: hence --net.
        namespaces = ["--net", "--mount", "--mount-proc", "--pid", "--fork", "--kill-child"]
        self._unshare = subprocess.Popen(["unshare", *namespaces, sys.executable, "-c", _INIT], stdin=subprocess.PIPE)
        self._containerd: subprocess.Popen[bytes] | None = None
        self._live_restore = False
        (folder / "containerd.toml").write_text(_CONTAINERD.format(folder=folder))
        (folder / "engine.json").write_text("{}")

    @property
    def host(self) -> str:
        """As DOCKER_HOST."""
        return f"unix://{self._folder}/d.sock"

    def start(self, *, live_restore: bool = False) -> None:
        """Returns when it answers."""
        self.begin(live_restore=live_restore)
        self.wait()

    def begin(self, *, live_restore: bool = False) -> None:
        """As start, without the wait."""
        assert self._engine is None
        folder = self._folder
        self._live_restore = live_restore
        if self._containerd is None:
            self._containerd = self._inside("containerd", "--config", str(folder / "containerd.toml"))
            _until(lambda: _answers(folder / "c.sock"), "containerd")
        self._engine = self._inside(
            "dockerd",
            f"--config-file={folder}/engine.json",
            f"--data-root={folder}/data",
            f"--exec-root={folder}/e",
            f"--host={self.host}",
            f"--pidfile={folder}/d.pid",
            f"--containerd={folder}/c.sock",
            "--bridge=none",
            "--iptables=false",
            "--ip-forward=false",
            f"--cgroup-parent=/{self._cgroup}",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            *(["--live-restore"] if live_restore else []),
        )

    def wait(self) -> None:
        """Until it answers."""
        _until(lambda: self._docker("version").returncode == 0 or self._gone(), "the engine")
        assert not self._gone(), self.log()

    def be(self, *, live_restore: bool) -> None:
        """Running, and of that kind."""
        if self._engine is not None and (self._gone() or self._live_restore != live_restore):
            self.stop()
        if self._engine is None:
            self.start(live_restore=live_restore)

    def kill(self) -> None:
        """As by kill -9; its containers go on, until it is started again."""
        self._end(signal.SIGKILL)

    def kill_with_containerd(self) -> None:
        """As where the one is the child of the other."""
        self.kill()
        assert self._containerd is not None
        os.kill(*self._children(self._containerd), signal.SIGKILL)
        self._containerd.wait()
        self._containerd = None

    def stop(self) -> None:
        """It ends its containers first, unless it was started with live_restore."""
        self._end(signal.SIGTERM)

    def log(self) -> str:
        return (self._folder / "dockerd.log").read_text(errors="replace")[-8000:]

    def load_image(self) -> None:
        saving = subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE)
        subprocess.run(["docker", "--host", self.host, "load"], stdin=saving.stdout, capture_output=True, check=True)
        assert saving.stdout is not None
        saving.stdout.close()
        assert saving.wait() == 0

    def close(self) -> None:
        assert self._unshare.stdin is not None
        self._unshare.stdin.close()
        self._unshare.wait()
        for process in (self._containerd, self._engine):
            if process is not None:
                process.wait()
        for cgroup in sorted(Path("/sys/fs/cgroup").glob(f"**/{self._cgroup}/**/"), reverse=True):
            with contextlib.suppress(OSError):
                cgroup.rmdir()

    def _inside(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        _until(lambda: self._children(self._unshare), "the namespaces of the engine")
        (init,) = self._children(self._unshare)
        with (self._folder / f"{name}.log").open("ab") as log:
            command = ["nsenter", "-t", str(init), "--pid", "--mount", "--net", name, *arguments]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _end(self, number: signal.Signals) -> None:
        assert self._engine is not None
        if not self._gone():
            os.kill(*self._children(self._engine), number)
        self._engine.wait()
        self._engine = None

    def _gone(self) -> bool:
        return self._engine is None or self._engine.poll() is not None

    def _docker(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["docker", "--host", self.host, *arguments], capture_output=True, check=False)

    def _children(self, process: subprocess.Popen[bytes]) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@contextlib.contextmanager
def own_engine() -> Iterator[OwnEngine]:
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    engine = OwnEngine(folder)
    try:
        engine.start()
        engine.load_image()
        yield engine
    finally:
        engine.close()
        shutil.rmtree(folder)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come up in {_START_S} s"
        time.sleep(0.05)
