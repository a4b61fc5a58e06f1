"""Commands that carry a savepoint to another controller: export, import."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from controller.cli import inputs, options, printer, records, units
from controller.cli.completion import complete_savepoint
from controller.cli.errors import CliError, usage_error
from controller.cli.options import ExecutionArgument, OutputOption
from controller.cli.printer import Output, say

if TYPE_CHECKING:
    from flowsnap.v1 import control_pb2

    from controller.cli.client import Client

app = options.new_app()

_PIECE_BYTES = 1024 * 1024
_STANDARD = Path("-")

PassphraseOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="The file is encrypted under the passphrase in this one."),
]


@app.command("export")
def export_(
    ctx: typer.Context,
    execution: ExecutionArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.fsnap", show_default=False, help="What is written; - is standard output.")
    ],
    savepoint: Annotated[
        str,
        typer.Option(
            "--savepoint",
            "-s",
            metavar="NUMBER|id=ID|name=NAME",
            autocompletion=complete_savepoint,
            help="Without it the one that the execution stands on.",
        ),
    ] = "",
    passphrase_file: PassphraseOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Write a savepoint into a file, from which `import` makes an execution on another host.

    The file holds the process's memory with every secret in it: guard it, or give a passphrase.
    Settings, files, connections, messages and child executions are not in it, nor is the container's image.
    """
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect

    if file == _STANDARD and sys.stdout.isatty():
        raise usage_error("an export is no text for a terminal: name a file, or lead standard output into one")
    if file == _STANDARD and output is Output.json:
        raise usage_error("standard output can't have both the file and JSON: name a file")
    if file != _STANDARD and file.exists() and not force:
        raise usage_error(f"{file} exists already: choose another name, or replace it with --force")
    passphrase = _passphrase(passphrase_file)
    chosen = options.savepoint_choice(savepoint) if savepoint else None
    request = control_pb2.ExportSavepointRequest(execution=execution, savepoint=chosen)
    with connect(options.config(ctx)) as client:
        received = _Received(client, request)
        with _progress(f"Exporting {execution}") as advance, _new_file(file) as target:
            size_bytes = _write(target, received.parts(advance), passphrase)
    exported = received.savepoint
    document = {"savepoint": records.record(exported), "file": str(file), "size_bytes": size_bytes}
    if output is Output.json:
        printer.json_document(document)
    else:
        where = "standard output" if file == _STANDARD else str(file)
        say(f"Exported {records.savepoint_label(exported)} to {where} ({units.size(size_bytes)})")


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.fsnap", show_default=False, help="What export wrote; - is standard input.")
    ],
    load: Annotated[bool, typer.Option("--load", help="Go on from the savepoint at once.")] = False,
    name: Annotated[str, typer.Option("--name", "-n", help="The execution's name, instead of its own.")] = "",
    passphrase_file: PassphraseOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Make an execution of an exported savepoint; `load` goes on from there. Prints its id.

    A savepoint is a program that runs here, and the file says what its processes may do: import only what you or
    somebody you trust with this host has exported.
    """
    from flowsnap.v1 import control_pb2

    from controller.cli.client import connect
    from controller.cli.progress import waiting

    passphrase = _passphrase(passphrase_file)
    with connect(options.config(ctx)) as client, _opened(file) as source:
        with waiting(f"Importing {file}"):
            response = client.upload(client.savepoints.ImportSavepoint, _requests(source, name, passphrase))
        execution = response.execution
        if load:
            with waiting(f"Loading {execution.name}"):
                request = control_pb2.LoadSavepointRequest(
                    execution=execution.id, savepoint=control_pb2.SavepointSelector(id=response.savepoint.id)
                )
                try:
                    execution = client.call(client.savepoints.LoadSavepoint, request).execution
                except CliError as error:
                    words = f"{execution.name} ({execution.id}) is imported, and could not be loaded: {error}"
                    raise CliError(words, error.exit_code) from error
    response.execution.CopyFrom(execution)
    printer.emit(output, records.record(response), lambda: printer.result(execution.id))
    if output is Output.table:
        say(_imported(response, loaded=load))


class _Received:
    """What the controller sends: the savepoint that it is, then the file's bytes."""

    def __init__(self, client: Client, request: control_pb2.ExportSavepointRequest) -> None:
        from flowsnap.v1 import types_pb2

        self.savepoint = types_pb2.Savepoint()
        self._responses = client.stream(client.savepoints.ExportSavepoint, request)

    def parts(self, advance: Advance) -> Iterator[bytes]:
        for response in self._responses:
            if response.HasField("savepoint"):
                self.savepoint.CopyFrom(response.savepoint)
            advance(response.done_bytes, response.total_bytes)
            yield response.data


class Advance:
    """Says on the terminal how far it is."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._shown = ""

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        percent = f"{100 * done_bytes // total_bytes} %" if total_bytes else ""
        if percent != self._shown and sys.stderr.isatty():
            self._shown = percent
            sys.stderr.write(f"\r{self._text}: {percent} of {units.size(total_bytes)} ")
            sys.stderr.flush()

    def close(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")


@contextmanager
def _progress(text: str) -> Iterator[Advance]:
    advance = Advance(text)
    try:
        yield advance
    finally:
        advance.close()


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Whole or not at all, and for its owner alone."""
    if path == _STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise usage_error(f"{path} can't be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError as error:
        raise CliError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write(target: BinaryIO, parts: Iterable[bytes], passphrase: bytes) -> int:
    if passphrase:
        from controller.cli.sealed_file import seal

        parts = seal(parts, passphrase)
    size_bytes = 0
    for part in parts:
        size_bytes += target.write(part)
    return size_bytes


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == _STANDARD:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise usage_error(f"{path} can't be read: {error.strerror}") from error
    with file:
        yield file


def _requests(source: BinaryIO, name: str, passphrase: bytes) -> Iterator[control_pb2.ImportSavepointRequest]:
    from flowsnap.v1 import control_pb2

    from controller.cli import sealed_file

    yield control_pb2.ImportSavepointRequest(name=name)
    beginning = source.read(len(sealed_file.MAGIC))
    if beginning == sealed_file.MAGIC:
        if not passphrase:
            raise usage_error("the file is encrypted: name the file of its passphrase with --passphrase-file")
        for part in sealed_file.open_sealed(source, beginning, passphrase):
            yield control_pb2.ImportSavepointRequest(data=part)
        return
    if passphrase:
        raise usage_error("the file is not encrypted, so nothing shows who made it: leave --passphrase-file out")
    yield control_pb2.ImportSavepointRequest(data=beginning)
    while part := source.read(_PIECE_BYTES):
        yield control_pb2.ImportSavepointRequest(data=part)


def _passphrase(file: Path | None) -> bytes:
    if file is None:
        return b""
    from controller.cli.sealed_file import read_passphrase

    return read_passphrase(inputs.read_bytes(file, "passphrase file"))


def _imported(response: control_pb2.ImportSavepointResponse, *, loaded: bool) -> str:
    execution, label = response.execution, records.savepoint_label(response.savepoint)
    if loaded:
        words = f"Imported {execution.name}; it goes on from {label}"
    else:
        words = (
            f"Imported {execution.name}: go on with `snapctl load {execution.name} --id {response.savepoint.number}`"
        )
    if execution.HasField("forked_from") and execution.forked_from.execution_id == response.original_id:
        words += f" (a fork: the id {response.original_id} is taken here)"
    return words
