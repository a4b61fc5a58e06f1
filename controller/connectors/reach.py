"""Where a flow may lead a connector by itself: to other machines, not to the controller's own host or its link.

What listens there trusts whoever reaches it. The address that was judged is the one to connect to, since a name may
resolve to another one a moment later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from controller.connectors.errors import ConnectorError, invalid, refused

# Tells a cloud's machine its own keys, at addresses that are not link-local: Amazon, Google, Alibaba, Azure, Oracle.
_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
# What no library can take for anything but a name.
_NAME = re.compile(r"\w[\w.-]*")

_ANY_PORT: Final = 9

# The address of each host that was judged; None when an operator chose where the call leads.
_judged: ContextVar[Mapping[str, str] | None] = ContextVar("judged", default=None)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def denied(what: str) -> ConnectorError:
    """A flow may not lead a connector there by itself; the guard adds how an operator allows it."""
    return ConnectorError("PermissionDenied", what)


def led_by_flow() -> bool:
    """Whether the flow chose where the present call leads; then nothing that a server names is followed."""
    return _judged.get() is not None


def address_of(host: str) -> str:
    """What to connect to for a host: its address that was judged, or itself where an operator chose it."""
    return (_judged.get() or {}).get(host, host)


async def socket_to(host: str, port: int) -> socket.socket | None:
    """Connected to the address that was judged; None where an operator chose the host. Raises OSError."""
    address = address_of(host)
    if address == host:
        return None
    found = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    found.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(found, (address, port))
    except BaseException:
        found.close()
        raise
    return found


@contextmanager
def only_to(judged: Mapping[str, str]) -> Iterator[None]:
    """For the calls within: a flow leads them, to these hosts."""
    token = _judged.set(judged)
    try:
        yield
    finally:
        _judged.reset(token)


async def judge(hosts: Collection[str]) -> dict[str, str]:
    """An address of each host. Raises ConnectorError: PermissionDenied for one that a flow may not choose."""
    return {host: await _address(host) for host in hosts}


async def _address(host: str) -> str:
    if host.startswith("@") or "/" in host:
        raise denied(f"{host} is a place of the controller's own host")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _NAME.fullmatch(bare) and not _is_address(bare):
        raise invalid(f"{host!r} is no name or address of one host")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(bare, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise refused(f"{host}: finding its address", words, transient=True) from error
    addresses = [str(address) for *_, (address, *_) in found]
    # All of them, or a name with two addresses would be judged by the one and reached by the other.
    for address in addresses:
        if _is_own(address):
            raise denied(f"{host} is the controller's own host or link")
    return addresses[0]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_own(text: str) -> bool:
    address: _Address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast:
        return True
    return address in _METADATA or _is_of_this_host(address)


def _is_of_this_host(address: _Address) -> bool:
    """Only to a host's own address is that address itself the nearest to come from. Sends nothing."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004  of IP
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), _ANY_PORT))
            return ipaddress.ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False
