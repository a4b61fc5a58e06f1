"""The command tree of snapctl: which module holds which command, and the options that all share."""

from __future__ import annotations

import sys
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from controller.cli import exit_codes
from controller.cli.errors import CliError
from controller.cli.exit_codes import ExitCode
from controller.cli.printer import say
from controller.config import DEFAULT_DATA_DIR, Config

# In the order of --help: the main job first.
_MODULES = {
    "up": "lifecycle",
    "down": "lifecycle",
    "web": "web",
    "run": "run",
    "ls": "executions",
    "show": "executions",
    "logs": "logs",
    "savepoints": "savepoints",
    "savepoint": "savepoints",
    "diff": "diff",
    "load": "loads",
    "undo": "loads",
    "fork": "forks",
    "export": "transfers",
    "import": "transfers",
    "pause": "executions",
    "resume": "executions",
    "cancel": "executions",
    "wait": "executions",
    "rm": "executions",
    "flow": "flows",
    "connection": "connections",
    "setting": "settings",
    "lock": "locks",
    "file": "files",
    "message": "messages",
    "schedule": "schedules",
    "webhook": "webhooks",
    "retention": "retention",
    "gc": "system",
    "info": "system",
    "doctor": "doctor",
}

_DATA_DIR_OPTION = "--data-dir"
_OUTPUT_OPTIONS = ("-o", "--output")
# A group and its command, as `flow ls`: up to there -o stands before what takes it.
_COMMAND_WORDS = 2


class _Commands(MutableMapping[str, Any]):
    """Commands by name; the module of one is imported when it is asked for, so that `ls` pays for `ls` alone."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            module = import_module(f"controller.cli.commands.{_MODULES[name]}")
            self._loaded |= typer.main.get_group(module.app).commands
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)

    def __contains__(self, name: object) -> bool:
        return name in _MODULES

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]


class _RootGroup(TyperGroup):
    """Loads commands lazily, takes --data-dir and -o wherever they stand, turns errors into messages and exit codes."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _output_last(_data_dir_first(args)))

    def invoke(self, ctx: Any) -> Any:
        try:
            value = super().invoke(ctx)
            # Here and not at exit, so that a closed pipe is met where it is handled.
            sys.stdout.flush()
        except CliError as error:
            say(f"snapctl: {error}")
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            say("snapctl: interrupted; what was asked of the controller may still be carried out")
            raise typer.Exit(ExitCode.INTERRUPTED) from error
        except BrokenPipeError as error:
            raise typer.Exit(ExitCode.BROKEN_PIPE) from error
        return value


def _data_dir_first(args: list[str]) -> list[str]:
    """The same arguments with --data-dir before the command: people add it where they stand, as with kubectl."""
    moved: list[str] = []
    kept: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            kept += [arg, *rest]
        elif arg == _DATA_DIR_OPTION:
            moved += [arg, *[value for value in [next(rest, None)] if value is not None]]
        elif arg.startswith(_DATA_DIR_OPTION + "="):
            moved.append(arg)
        else:
            kept.append(arg)
    return [*moved, *kept]


def _output_last(args: list[str]) -> list[str]:
    """The same arguments with an -o that stands before the command at their end, where the command takes it."""
    moved: list[str] = []
    kept: list[str] = []
    words = 0
    rest = iter(args)
    for arg in rest:
        if arg == "--" or words == _COMMAND_WORDS:
            return [*kept, *_before_dashes([arg, *rest], moved)]
        if arg in _OUTPUT_OPTIONS:
            moved += [arg, *[value for value in [next(rest, None)] if value is not None]]
        elif arg.startswith(("--output=", "-ojson", "-otable")):
            moved.append(arg)
        else:
            kept.append(arg)
            if arg == _DATA_DIR_OPTION:
                kept += [value for value in [next(rest, None)] if value is not None]
            words += not arg.startswith("-")
    return [*kept, *moved]


def _before_dashes(args: list[str], options: list[str]) -> list[str]:
    at = args.index("--") if "--" in args else len(args)
    return [*args[:at], *options, *args[at:]]


app = typer.Typer(
    cls=_RootGroup,
    # rich would double the time of --help.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\n" + exit_codes.EXPLANATION,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"flowsnap {version('flowsnap')}\n")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    data_dir: Annotated[
        Path,
        typer.Option(
            envvar="FLOWSNAP_DATA_DIR", help="The controller's data directory; its socket is run/control.sock in it."
        ),
    ] = DEFAULT_DATA_DIR,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Run Python scripts with a savepoint at every call, and take them back to any of them.

    An EXECUTION is named by its id, a unique prefix of the id, or its name (the newest of that name).
    """
    ctx.obj = Config(data_dir=data_dir)
