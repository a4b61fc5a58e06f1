"""What a process has open: files, pipes, sockets with their addresses and states."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flowsnap.criu import images_pb2 as criu

from controller.inspection.image import Image
from controller.inspection.memory import Mapped

# CRIU's kinds of files by number.
_KINDS: Final = {
    1: "file",
    2: "pipe",
    3: "fifo",
    4: "socket",
    5: "unix",
    6: "eventfd",
    7: "epoll",
    8: "inotify",
    9: "signalfd",
    10: "packet",
    11: "terminal",
    12: "fanotify",
    13: "netlink",
    14: "namespace",
    16: "external",
    17: "timerfd",
    18: "memfd",
    20: "pidfd",
}
_INET6: Final = 10
_STREAM, _DATAGRAM = 1, 2
_TCP_STATES: Final = (
    "",
    "established",
    "connecting",
    "connecting",
    "closing",
    "closing",
    "closing",
    "closed",
    "closing",
    "closing",
    "listening",
    "closing",
    "connecting",
)
_LISTENING: Final = 10
_WAYS: Final = ("read", "write", "read and write")
_IPV4_WORDS, _IPV6_WORDS = 1, 4


@dataclass(frozen=True, slots=True)
class OpenFile:
    """descriptor: its number in the process. name: a path, an address, a pipe's number.

    peer and state: of sockets. position and size: of regular files, bytes; -1 elsewhere.
    """

    descriptor: int
    kind: str
    name: str
    mode: str = ""
    peer: str = ""
    state: str = ""
    position: int = -1
    size: int = -1


class FileTable:
    """All files of a tree, by CRIU's id."""

    def __init__(self, image: Image, roles: Mapping[str, str]) -> None:
        """roles: what the pipes to the agent are for, by "pipe:[number]". Raises Unreadable."""
        self._image = image
        self._roles = roles
        self._files = {file.id: file for file in image.entries("criu/files.img", criu.File)}
        self._memory_files = {inode.inode_id: inode for inode in image.entries("criu/memfd.img", criu.MemoryFileInode)}
        self._sockets = {file.unix.inode: file.unix for file in self._files.values() if file.HasField("unix")}
        regular = {number: file.regular for number, file in self._files.items() if file.HasField("regular")}
        self._paths = {number: _text(file.path) for number, file in regular.items()}
        # Anonymous shared memory is a memory file to CRIU.
        shared = {
            number: self._inode(file.memory_file).shared_memory_id
            for number, file in self._files.items()
            if file.HasField("memory_file")
        }
        self.mapped = Mapped(self._paths, shared)
        # Bytes of regular files at the dump.
        self.sizes = {_text(file.path): file.size for file in regular.values()}

    def of_process(self, pid: int, core: criu.Core) -> Sequence[OpenFile]:
        """By descriptor. Raises Unreadable."""
        objects = core.objects
        if not objects.files_id and f"criu/ids-{pid}.img" in self._image:
            objects = self._image.entry(f"criu/ids-{pid}.img", criu.KernelObjects)
        found = self._image.entries(f"criu/fdinfo-{objects.files_id}.img", criu.Descriptor)
        return sorted((self._open_file(one) for one in found), key=lambda file: file.descriptor)

    def _open_file(self, descriptor: criu.Descriptor) -> OpenFile:
        number, file = descriptor.number, self._files.get(descriptor.file_id, criu.File())
        kind = _KINDS.get(file.kind, "other")
        match file.WhichOneof("details"):
            case "regular":
                one = file.regular
                return OpenFile(number, kind, _text(one.path), _way(one.flags), position=one.position, size=one.size)
            case "internet":
                return _internet(number, file.internet)
            case "unix":
                return self._unix(number, file.unix)
            case "pipe":
                name = f"pipe:[{file.pipe.pipe_id}]"
                return OpenFile(number, kind, self._roles.get(name, name), _way(file.pipe.flags))
            case "memory_file":
                inode = self._inode(file.memory_file)
                return OpenFile(number, kind, _text(inode.name), size=inode.size)
        named_by = file.fifo.file_id or file.terminal.file_id
        return OpenFile(number, kind, self._paths.get(named_by, ""))

    def _inode(self, file: criu.MemoryFile) -> criu.MemoryFileInode:
        return self._memory_files.get(file.inode_id, criu.MemoryFileInode())

    def _unix(self, number: int, socket: criu.UnixSocket) -> OpenFile:
        peer = self._sockets.get(socket.peer) if socket.peer else None
        connected = "connected" if socket.peer else "unconnected"
        state = "listening" if socket.state == _LISTENING else connected
        return OpenFile(number, "unix", _unix_name(socket), peer=_unix_name(peer) if peer else "", state=state)


def _internet(number: int, socket: criu.InternetSocket) -> OpenFile:
    kind = {_STREAM: "tcp", _DATAGRAM: "udp"}.get(socket.type, "ip") + ("6" if socket.family == _INET6 else "")
    state = _TCP_STATES[socket.state] if socket.state < len(_TCP_STATES) else ""
    if socket.type == _DATAGRAM:
        state = "connected" if socket.destination_port else "unconnected"
    return OpenFile(
        number,
        kind,
        _address(socket.source_address, socket.source_port),
        peer=_address(socket.destination_address, socket.destination_port) if socket.destination_port else "",
        state=state,
    )


def _address(words: Sequence[int], port: int) -> str:
    """The words are in the network's order, byte by byte as in memory."""
    data = struct.pack(f"<{len(words)}I", *words)
    if len(words) == _IPV4_WORDS:
        return f"{ipaddress.IPv4Address(data)}:{port}"
    if len(words) == _IPV6_WORDS:
        return f"[{ipaddress.IPv6Address(data)}]:{port}"
    return f":{port}"


def _unix_name(socket: criu.UnixSocket) -> str:
    """A leading zero byte means a name that is no path."""
    if socket.path.startswith(b"\0"):
        return "@" + _text(socket.path[1:])
    return _text(socket.path.rstrip(b"\0"))


def _way(flags: int) -> str:
    return _WAYS[min(flags & 3, 2)]


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
