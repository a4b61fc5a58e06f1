"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from controller.cli import inputs
from controller.cli.completion import complete_execution, complete_flow, complete_savepoint
from controller.cli.errors import CliError, usage_error
from controller.cli.printer import Output

if TYPE_CHECKING:
    from flowsnap.v1 import control_pb2

    from controller.config import Config

ExecutionArgument = Annotated[
    str,
    typer.Argument(
        metavar="EXECUTION", autocompletion=complete_execution, show_default=False, help="Id, prefix of an id, or name."
    ),
]


def savepoint_argument(metavar: str) -> Any:
    """A savepoint of the execution that stands before it on the line."""
    return typer.Argument(
        metavar=metavar,
        autocompletion=complete_savepoint,
        show_default=False,
        help="A savepoint: its number, id=ID, or name=NAME (the newest of that name).",
    )


OptionalSavepointArgument = Annotated[str, savepoint_argument("[SAVEPOINT]")]

OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How results are printed.")]

FlowOption = Annotated[
    str,
    typer.Option("--flow", metavar="NAME", autocompletion=complete_flow, help="The pushed flow that is started."),
]

FlowFileOption = Annotated[
    Path | None, typer.Option("--file", metavar="FLOW.py", help="A script instead; its text is kept as it is now.")
]


def flow_source(flow: str, file: Path | None) -> tuple[str, str]:
    """The flow's name, and the script's text where it is not a pushed one; CliError unless one of the two is given."""
    if bool(flow) is (file is not None):
        raise usage_error("give either --flow, the name of a pushed flow, or --file, a script")
    return (flow, "") if file is None else (file.name, inputs.read_flow(file))


def savepoint_choice(text: str) -> control_pb2.SavepointSelector:
    """NUMBER, id=ID or name=NAME; CliError for anything else."""
    from flowsnap.v1 import control_pb2

    kind, equals, value = text.partition("=")
    if not equals and text.isascii() and text.isdigit():
        return control_pb2.SavepointSelector(id=text)
    if kind == "id" and value:
        return control_pb2.SavepointSelector(id=value)
    if kind == "name" and value:
        return control_pb2.SavepointSelector(name=value)
    raise usage_error(f"{text!r} names no savepoint: write its number, id=ID or name=NAME")


def bad_choice(option: str, value: str, choices: Iterable[str]) -> CliError:
    return usage_error(f"{option} {value!r} is none of {', '.join(choices)}")


def new_app() -> typer.Typer:
    """A Typer for one module's commands, without what the root provides."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)


def config(ctx: typer.Context) -> Config:
    """What the options before the command chose."""
    # The root's callback put it there, before any command runs.
    return cast("Config", ctx.obj)
