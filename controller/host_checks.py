"""What flowsnap needs of a host, checked one by one; each failed check names its remedy."""

from __future__ import annotations

import enum
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from controller.quantities import size

if TYPE_CHECKING:
    from docker import DockerClient


class Level(enum.StrEnum):
    """ok; works with a restriction, or could not be found out; does not work."""

    ok = "ok"
    warn = "warn"
    fail = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check."""

    name: str
    level: Level
    detail: str
    remedy: str = ""


PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
DOCKER_PID_FILE = Path("/var/run/docker.pid")

# Time namespaces (5.6) and what CRIU 4.2 takes for granted; the oldest kernel of a supported Debian is 5.10.
MIN_KERNEL = (5, 10)
# Docker 20.10, the first with cgroup v2.
MIN_DOCKER_API = (1, 41)

# Bit numbers from <linux/capability.h>, with what the agent needs each for.
NEEDED_CAPABILITIES = {
    "SYS_ADMIN": (21, "namespaces, mounts and CRIU itself"),
    "SYS_PTRACE": (19, "reading the memory of a process tree"),
    "NET_ADMIN": (12, "open TCP connections"),
    "SYS_TIME": (25, "a monotonic clock that does not go backwards"),
}

_DOCKER_TIMEOUT_S = 10

LOW_SPACE_BYTES = 2 * 1024**3
NO_SPACE_BYTES = 200 * 1024**2


def kernel(release: str | None = None, machine: str | None = None) -> Check:
    """The kernel's version and the processor's architecture."""
    release = release or platform.release()
    machine = machine or platform.machine()
    found = _version(release)
    detail = f"Linux {release} on {machine}"
    if found < MIN_KERNEL:
        wanted = ".".join(map(str, MIN_KERNEL))
        return Check("kernel", Level.fail, detail, f"boot a kernel from {wanted} on: CRIU 4.2 needs its namespaces")
    if machine not in ("x86_64", "aarch64"):
        return Check("kernel", Level.warn, detail, "only x86_64 and aarch64 were tried: trust the trial below")
    return Check("kernel", Level.ok, detail)


def cgroup(root: Path = CGROUP, proc: Path = PROC) -> Check:
    """Whether containers can be limited in memory and processes."""
    unified = root / "cgroup.controllers"
    try:
        if unified.exists():
            version, controllers = "v2", set(unified.read_text().split())
        else:
            rows = [line.split() for line in (proc / "cgroups").read_text().splitlines() if not line.startswith("#")]
            version, controllers = "v1", {row[0] for row in rows if row[3] == "1"}
    except (OSError, IndexError) as error:
        return Check("cgroup", Level.warn, f"can't be read: {error}", "mount the cgroup file system")
    missing = [name for name in ("memory", "pids") if name not in controllers]
    if missing:
        return Check(
            "cgroup",
            Level.fail,
            f"{version}, without {' and '.join(missing)}: executions can't be limited",
            f"boot with {' '.join(f'cgroup_enable={name}' for name in missing)}",
        )
    return Check("cgroup", Level.ok, f"{version} with memory and pids")


def user_namespaces(proc: Path = PROC) -> Check:
    """Whether the agent may make the user namespace that a flow lives in."""
    name = "user namespaces"
    limit = _number(proc / "sys/user/max_user_namespaces")
    if limit is None:
        return Check(name, Level.fail, "the kernel has none", "boot a kernel with CONFIG_USER_NS=y")
    if limit == 0:
        return Check(
            name, Level.fail, "user.max_user_namespaces is 0", "run `sysctl -w user.max_user_namespaces=15000`"
        )
    for setting, bad in (("apparmor_restrict_unprivileged_userns", 1), ("unprivileged_userns_clone", 0)):
        if _number(proc / "sys/kernel" / setting) == bad:
            # The agent holds SYS_ADMIN, which these exempt as a rule; distributions differ.
            return Check(
                name,
                Level.warn,
                f"kernel.{setting} is {bad}",
                f"if the trial fails, run `sysctl -w kernel.{setting}={1 - bad}`",
            )
    return Check(name, Level.ok, f"at most {limit}")


def capabilities(status_file: Path | None = None) -> Check:
    """What the Docker engine can hand to a container at all: its bounding set."""
    of_engine = status_file or _engine_status()
    source = of_engine or PROC / "self/status"
    whose = "the Docker engine's" if of_engine else "this process's"
    try:
        lines = dict(line.split(":", 1) for line in source.read_text().splitlines() if ":" in line)
        bounding = int(lines["CapBnd"], 16)
    except (OSError, KeyError, ValueError) as error:
        return Check("capabilities", Level.warn, f"{source} can't be read: {error}", "trust the trial below")
    missing = [f"{name} ({why})" for name, (bit, why) in NEEDED_CAPABILITIES.items() if not bounding >> bit & 1]
    if missing:
        return Check(
            "capabilities",
            Level.fail if of_engine else Level.warn,
            f"{whose} bounding set lacks {', '.join(missing)}",
            "run the Docker engine on the host itself or in a machine that has them, not in a restricted container",
        )
    return Check("capabilities", Level.ok, f"{whose} bounding set has {', '.join(NEEDED_CAPABILITIES)}")


def docker_engine(client: DockerClient) -> Check:
    """Whether the engine answers and is new enough."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        version = client.version()
    except (DockerException, RequestException) as error:
        return Check(
            "Docker engine",
            Level.fail,
            f"does not answer: {error}",
            "start it with `systemctl start docker`, or name it in DOCKER_HOST; your user must be allowed to use it",
        )
    detail = f"{version.get('Version', 'unknown version')}, API {version.get('ApiVersion', '?')}"
    if _version(version.get("ApiVersion", "0.0")) < MIN_DOCKER_API:
        return Check("Docker engine", Level.fail, detail, "install Docker 20.10 or newer")
    return Check("Docker engine", Level.ok, detail)


def execution_image(client: DockerClient, image: str) -> Check:
    """Whether the image that executions run in is there."""
    from docker.errors import DockerException, ImageNotFound
    from requests.exceptions import RequestException

    name = "execution image"
    try:
        found = client.images.get(image)
    except ImageNotFound:
        return Check(name, Level.fail, f"{image} is not there", "build it with `scripts/image`")
    except (DockerException, RequestException) as error:
        return Check(name, Level.fail, f"can't be looked up: {error}", "see the check of the Docker engine")
    return Check(name, Level.ok, f"{image}, {size(found.attrs.get('Size', 0))}")


def data_dir_writable(data_dir: Path) -> Check:
    """Whether this user may write the data directory, or make it."""
    name = "data directory"
    existing = _nearest_existing(data_dir)
    if not existing.is_dir():
        return Check(name, Level.fail, f"{existing} is not a directory", "choose another with --data-dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Check(
            name, Level.fail, f"{existing} is not writable", "choose another with --data-dir, or run as its owner"
        )
    return Check(name, Level.ok, f"{data_dir} is writable" if existing == data_dir else f"{data_dir} can be made")


def disk_space(data_dir: Path, free_bytes: int | None = None) -> Check:
    """Whether there is room for savepoints; free_bytes is measured when it isn't given."""
    if free_bytes is None:
        free_bytes = shutil.disk_usage(_nearest_existing(data_dir)).free
    detail = f"{size(free_bytes)} free for {data_dir}"
    if free_bytes >= LOW_SPACE_BYTES:
        return Check("disk space", Level.ok, detail)
    return Check(
        "disk space",
        Level.fail if free_bytes < NO_SPACE_BYTES else Level.warn,
        detail,
        "free some: `snapctl rm` old executions, then `snapctl gc`; or choose another --data-dir",
    )


def docker_checks(image: str) -> Iterator[Check]:
    """The engine, and where it answers, the image."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=_DOCKER_TIMEOUT_S)
    except DockerException as error:
        # A DOCKER_HOST that makes no sense; asking the engine its version comes later.
        yield Check("Docker engine", Level.fail, str(error), "correct DOCKER_HOST, or unset it for the local engine")
        return
    try:
        engine = docker_engine(client)
        yield engine
        if engine.level is Level.ok:
            yield execution_image(client, image)
    finally:
        client.close()


def host_checks(data_dir: Path) -> Sequence[tuple[str, Callable[[], Check]]]:
    """What there is to check without Docker, with the name of each."""
    return [
        ("kernel", kernel),
        ("cgroup", cgroup),
        ("user namespaces", user_namespaces),
        ("capabilities", capabilities),
        ("data directory", lambda: data_dir_writable(data_dir)),
        ("disk space", lambda: disk_space(data_dir)),
    ]


def _nearest_existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _version(text: str) -> tuple[int, int]:
    """The first two numbers: (6, 18) of "6.18.2-amd64"; (0, 0) when there are none."""
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _engine_status() -> Path | None:
    """/proc/PID/status of a local engine; None when there is none to be found."""
    pid = _number(DOCKER_PID_FILE)
    status = PROC / str(pid) / "status"
    return status if pid is not None and status.exists() else None
