"""Names that the shell offers for settings, files and the like: asked of the controller, silent without an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import typer

from controller.cli.completion import TIMEOUT_S, connect_for
from controller.cli.errors import CliError

if TYPE_CHECKING:
    from controller.cli.client import Client

Found = Iterable[tuple[str, str]]


def completer(fetch: Callable[[Client, float], Found]) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    """A completion of what fetch answers: names, each with a word about it."""

    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        try:
            with connect_for(ctx) as client:
                return [(name, about) for name, about in fetch(client, TIMEOUT_S) if name.startswith(incomplete)]
        except CliError:
            return []

    return complete
