"""The page of one controller, and where things are on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flowsnap.v1 import platform_pb2, platform_pb2_grpc, web_pb2, web_pb2_grpc
from platform_under_test import Platform, running_platform
from playwright.sync_api import Locator, Page


@dataclass
class Site:
    """The page of one controller."""

    platform: Platform
    address: str

    def link(self) -> str:
        """Signs in once."""
        stub = web_pb2_grpc.WebServiceStub(self.platform.channel)
        return stub.CreateWebLink(web_pb2.CreateWebLinkRequest(), timeout=10).link


def delete_messages(site: Site, execution: str) -> None:
    """Those that it sent: they outlive it, and the pages count the open ones."""
    stub = platform_pb2_grpc.MessageServiceStub(site.platform.channel)
    for message in stub.ListMessages(platform_pb2.ListMessagesRequest()).messages:
        if message.execution_id == execution:
            stub.DeleteMessage(platform_pb2.DeleteMessageRequest(id=message.id))


def load_field(page: Page) -> Locator:
    """The one field of the dialog Load savepoint."""
    return page.get_by_role("dialog", name="Load savepoint").get_by_label("Savepoint", exact=True)


@contextmanager
def running_site(data_dir: Path) -> Iterator[Site]:
    """For fixtures."""
    # No flow of these tests has business in a network, and containers without one start sooner.
    with running_platform(data_dir, "--http-listen", "127.0.0.1:0", "--network", "none") as platform:
        yield site_of(platform)


def site_of(platform: Platform) -> Site:
    stub = web_pb2_grpc.WebServiceStub(platform.channel)
    return Site(platform, stub.CreateWebLink(web_pb2.CreateWebLinkRequest(), timeout=10).address)
