"""The flow's sandbox: its root, and a process tree started in namespaces of its own.

What runs in it sees a read-only root, scratch folders of its own, no capabilities and no way to any; the agent, its
token, the spool folder and CRIU's socket are mounts that the sandbox's root leaves out, and processes of a pid
namespace above its own.

Everything here runs before gRPC is imported: the child of a fork shares the threads' locks of its parent.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import NoReturn

from agent import linux, seccomp
from agent.paths import DEVICES, SANDBOX_ROOT, WORK_DIR
from agent.scratch import SCRATCH_FOLDERS, Scratch

# The container's ids 100000 to 165535 are the sandbox's 0 to 65535. Every container has the same map: it is part of
# a savepoint. Pid and mount namespaces keep executions apart, not ids.
ID_MAP = "0 100000 65536\n"
FLOW_UID = 1000
HOST_FLOW_UID = 100000 + FLOW_UID

_DEVICE_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}

# Docker mounts these over the image's root; the sandbox's root is bound without submounts, so they are bound again.
NAME_RESOLUTION = ("/etc/resolv.conf", "/etc/hosts")

# Descriptors on their way to their numbers stand from here on, and the pipe for the last words above them.
_FIRST_SPARE_FD = 200
_STATUS_FD = 300


def prepare_root() -> None:
    """Build what all process trees of this container share: root and devices. Once, when the container starts."""
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    SANDBOX_ROOT.mkdir(parents=True)
    root = str(SANDBOX_ROOT)
    linux.mount("/", root, flags=linux.MS_BIND)
    linux.mount(
        "none", root, flags=linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV
    )
    # A restore writes /proc/sys/kernel/hostname, in the restored tree's uts namespace.
    if os.path.ismount("/proc/sys"):
        linux.mount("none", "/proc/sys", flags=linux.MS_BIND | linux.MS_REMOUNT)
    _make_devices()


def _make_devices() -> None:
    DEVICES.mkdir()
    linux.mount("tmpfs", str(DEVICES), "tmpfs", linux.MS_NOSUID | linux.MS_NOEXEC, "mode=755,size=64k")
    for name, (major, minor) in _DEVICE_NODES.items():
        path = DEVICES / name
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        path.chmod(0o666)
    for name in ("pts", "shm"):
        (DEVICES / name).mkdir()
    for name, target in {
        "ptmx": "pts/ptmx",
        "fd": "/proc/self/fd",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
    }.items():
        (DEVICES / name).symlink_to(target)
    linux.mount(
        "none",
        str(DEVICES),
        flags=linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NOEXEC,
    )


def external_mounts(scratch: Scratch) -> dict[str, tuple[str, str]]:
    """Mounts of the sandbox that CRIU takes as given: key -> (path in the sandbox, where the agent has it)."""
    mounts = {
        "root": ("/", str(SANDBOX_ROOT)),
        "dev": ("/dev", str(DEVICES)),
    }
    for path in NAME_RESOLUTION:
        mounts[os.path.basename(path)] = (path, path)
    for name, target in SCRATCH_FOLDERS.items():
        mounts[name] = (target, str(scratch.path / name))
    return mounts


def spawn(argv: Sequence[str], fds: Mapping[int, int], scratch: Scratch, environment: Mapping[str, str]) -> int:
    """Start argv as the first process of a new sandbox; answers its pid as the agent sees it.

    fds: number in the new process -> descriptor of ours. Everything else is closed there.
    Raises RuntimeError with the words of what failed on the way.
    """
    status_read, status_low = os.pipe()
    status_write = fcntl.fcntl(status_low, fcntl.F_DUPFD_CLOEXEC, _STATUS_FD)
    os.close(status_low)
    mapped_read, mapped_write = os.pipe()
    middle = os.fork()
    if middle == 0:
        _in_middle(argv, fds, scratch, environment, status_write, mapped_read)
    os.close(status_write)
    os.close(mapped_read)
    try:
        _expect(status_read, b"u")
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{middle}/{name}", "w", encoding="ascii") as file:
                file.write(ID_MAP)
        with open(f"/proc/{middle}/oom_score_adj", "w", encoding="ascii") as file:
            file.write("500")  # when memory runs out, the flow goes and the agent stays to tell
        os.write(mapped_write, b"m")
        pid = int(_expect_line(status_read))
        failure = _read_all(status_read)  # empty once the exec closed the pipe
        os.waitpid(middle, 0)
        if failure:
            os.waitpid(pid, 0)
            raise RuntimeError(f"the sandbox could not be built: {failure.decode(errors='replace')}")
        return pid
    finally:
        os.close(status_read)
        os.close(mapped_write)


def _in_middle(
    argv: Sequence[str],
    fds: Mapping[int, int],
    scratch: Scratch,
    environment: Mapping[str, str],
    status: int,
    mapped: int,
) -> NoReturn:
    """Make the namespaces; the child of this process is the first one in them."""
    try:
        linux.unshare(
            linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
        )
        os.write(status, b"u")
        os.read(mapped, 1)
        pid = os.fork()
        if pid:
            os.write(status, f"{pid}\n".encode())
            os._exit(0)
        _in_sandbox(argv, fds, scratch, environment)
    except BaseException:  # noqa: BLE001 - the last words go through the pipe, whatever they are
        os.write(status, traceback.format_exc().encode())
        os._exit(99)


def _in_sandbox(
    argv: Sequence[str], fds: Mapping[int, int], scratch: Scratch, environment: Mapping[str, str]
) -> NoReturn:
    os.setsid()
    # Before any file is touched: without ids that the new user namespace knows, opens fail with EOVERFLOW.
    os.setgid(0)
    os.setuid(0)
    _enter_root(scratch)
    _place_descriptors(fds)
    os.setgroups([])
    os.setresgid(FLOW_UID, FLOW_UID, FLOW_UID)
    os.setresuid(FLOW_UID, FLOW_UID, FLOW_UID)
    os.umask(0o022)
    os.chdir(WORK_DIR)
    linux.no_new_privs()
    linux.install_seccomp_filter(seccomp.program())
    os.execve(argv[0], list(argv), dict(environment))  # noqa: S606 - no shell wanted


def _enter_root(scratch: Scratch) -> None:
    root = str(SANDBOX_ROOT)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount(root, root, flags=linux.MS_BIND | linux.MS_REC)
    linux.mount("proc", f"{root}/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    linux.mount(str(DEVICES), f"{root}/dev", flags=linux.MS_BIND)
    linux.mount(
        "devpts", f"{root}/dev/pts", "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"
    )
    for name, target in SCRATCH_FOLDERS.items():
        linux.mount(str(scratch.path / name), root + target, flags=linux.MS_BIND)
    for path in NAME_RESOLUTION:
        linux.mount(path, root + path, flags=linux.MS_BIND)
    os.chdir(root)
    linux.pivot_root_here()
    os.chdir("/")


def _place_descriptors(fds: Mapping[int, int]) -> None:
    """An empty stdin, and for the others their numbers, by way of numbers that nothing uses."""
    spare = {}
    for target, source in fds.items():
        spare[target] = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _FIRST_SPARE_FD)
    os.closerange(0, _FIRST_SPARE_FD)
    # Opened in here: CRIU knows files by the mounts of the tree that it dumps. It gets the number 0.
    os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(0, True)
    for target, source in spare.items():
        os.dup2(source, target, inheritable=True)


def _expect(fd: int, wanted: bytes) -> None:
    got = os.read(fd, 1)
    if got != wanted:
        raise RuntimeError(f"the sandbox could not be built: {(got + _read_all(fd)).decode(errors='replace')}")


def _expect_line(fd: int) -> str:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            raise RuntimeError(f"the sandbox could not be built: {line.decode(errors='replace')}")
        line += byte
        if len(line) > 20:  # noqa: PLR2004 - no pid is that long: it is a traceback
            raise RuntimeError(f"the sandbox could not be built: {(line + _read_all(fd)).decode(errors='replace')}")
    return line.decode()


def _read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)


def flow_environment() -> dict[str, str]:
    """The container's environment without what is the agent's; a derived image sets its own variables this way."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWSNAP_", "GRPC_", "PYTHON"))}
    return kept | {
        "HOME": str(WORK_DIR),
        "USER": "flow",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",  # text not yet written would be written twice after a load
        "PYTHONDONTWRITEBYTECODE": "1",
        "UV_USE_IO_URING": "0",  # CRIU can't dump a ring, the filter refuses it
    }


if sys.platform != "linux":  # pragma: no cover
    raise ImportError("the sandbox is built from Linux namespaces")
