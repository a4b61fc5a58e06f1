"""The data directory: made with its modes, and held by one controller at a time."""

from __future__ import annotations

import fcntl
import os

from controller.config import Config
from controller.errors import FailedPrecondition, InvalidArgument, Unavailable

# sizeof(sun_path) - 1 on Linux: a longer path can't be bound.
_LONGEST_SOCKET_PATH = 107


class DataDir:
    """Holds run/controller.lock for as long as it is open; the kernel lets go of it when the process dies."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folders and take the lock.

        Raises FailedPrecondition when another controller has it, Unavailable, InvalidArgument for a path too long.
        """
        config = self._config
        for socket in (config.control_socket, config.agent_socket):
            if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
                raise InvalidArgument(
                    f"data directory {config.data_dir}: {socket} is longer than the {_LONGEST_SOCKET_PATH} bytes that"
                    " a socket's path may have; choose a shorter one"
                )
        run = config.control_socket.parent
        try:
            for folder, mode in ((config.data_dir, 0o700), (run, 0o700), (config.agents, 0o700)):
                folder.mkdir(mode=mode, parents=True, exist_ok=True)
            # Mounted into containers, whose users are others than ours.
            config.agent_socket.parent.mkdir(mode=0o755, exist_ok=True)
            self._lock = os.open(run / "controller.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(
                f"data directory {config.data_dir} can't be used: {error}; check its owner, or name"
                " another with --data-dir"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            self._lock = None
            raise FailedPrecondition(
                f"data directory {config.data_dir}: another controller runs on it{self._other_pid()}; stop that one"
                " (snapctl down), or name another with --data-dir"
            ) from error
        config.pid_file.write_text(f"{os.getpid()}\n")
        # What a crashed controller left; nobody listens there, for we have the lock.
        for socket in (config.control_socket, config.agent_socket):
            socket.unlink(missing_ok=True)

    def close(self) -> None:
        if self._lock is not None:
            self._config.pid_file.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def _other_pid(self) -> str:
        try:
            return f" (pid {self._config.pid_file.read_text().strip()})"
        except OSError:
            return ""
