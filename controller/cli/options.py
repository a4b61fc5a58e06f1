"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from controller.cli.completion import complete_execution
from controller.cli.printer import Output

if TYPE_CHECKING:
    from controller.config import Config

ExecutionArgument = Annotated[
    str,
    typer.Argument(
        metavar="EXECUTION", autocompletion=complete_execution, show_default=False, help="Id, prefix of an id, or name."
    ),
]

OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How results are printed.")]


def new_app() -> typer.Typer:
    """A Typer for one module's commands, without what the root provides."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)


def config(ctx: typer.Context) -> Config:
    """What the options before the command chose."""
    # The root's callback put it there, before any command runs.
    return cast("Config", ctx.obj)
