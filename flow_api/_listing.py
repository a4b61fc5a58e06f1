"""Listings: read from the platform page by page, as far as the script goes on asking."""

from __future__ import annotations

from flow_api._channel import Channel

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def listed(channel: Channel, call: str, where: dict[str, Any] | None) -> Iterator[Any]:
    """The records of a *_list call; each page is a call, and so a savepoint."""
    after = ""
    while True:
        page = channel.call(call, {"filter": where, "after": after})
        yield from page["records"]
        after = page["next"]
        if not after:
            return
