"""What was seen in savepoints, for people: sections of lines and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controller.cli import printer, records, units
from controller.cli.printer import Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flowsnap.v1 import inspection_pb2

# Lines of a section; JSON has them all.
_AREAS: Final = 8
_FILES: Final = 50
_PAGE_BYTES: Final = 4096
_MARKS: Final = {"ADDED": "+", "REMOVED": "-", "CHANGED": "~"}


def inspection(found: inspection_pb2.Inspection) -> None:
    """All that a savepoint holds."""
    _processes(found.processes)
    for process in found.processes:
        title = f"process {process.pid}" if len(found.processes) > 1 else ""
        if process.HasField("python"):
            _python(process.python, title)
    _open_files(found.processes)
    _memory(found.processes)
    _scratch(found)
    problems(found.problems)


def comparison(found: inspection_pb2.Comparison) -> None:
    """What differs between two savepoints."""
    printer.result(f"From {records.savepoint_label(found.before)} to {records.savepoint_label(found.after)}")
    if found.output_before_json != found.output_after_json:
        _section("Output value")
        printer.result(printer.cell(f"  {_json(found.output_before_json)}  ->  {_json(found.output_after_json)}"))
    if found.processes:
        _section("Processes")
        for process in found.processes:
            printer.result(printer.cell(f"{_mark(process.kind)} {process.pid} {process.command}  {process.change}"))
    _variable_changes(found.variables)
    if found.scratch_files:
        _section("Files of the flow")
        for file in found.scratch_files:
            before, after = ("" if size < 0 else units.size(size) for size in (file.bytes_before, file.bytes_after))
            sizes = f"{before} -> {after}" if before and after else before or after
            printer.result(printer.cell(f"{_mark(file.kind)} {file.path}  {sizes}"))
    if found.memory:
        _section("Memory")
        columns = ("PID", "WHAT", "CHANGED", "ADDED", "REMOVED")
        printer.table(
            [Column(title, right=title != "WHAT", flexible=title == "WHAT") for title in columns],
            [
                (
                    str(area.pid),
                    _area(area.kind, area.path),
                    *(
                        units.size(pages * _PAGE_BYTES) if pages else ""
                        for pages in (area.changed_pages, area.added_pages, area.removed_pages)
                    ),
                )
                for area in found.memory
            ],
        )
    problems(found.problems)


def problems(texts: Iterable[str]) -> None:
    """What could not be read."""
    for text in texts:
        printer.say(printer.cell(f"note: {text}"))


def _section(title: str) -> None:
    printer.result(f"\n{printer.cell(title)}")


def _processes(processes: Sequence[inspection_pb2.ProcessInspection]) -> None:
    _section("Processes")
    depths: dict[int, int] = {}
    rows = []
    for process in processes:
        depth = depths[process.pid] = depths.get(process.parent_pid, -1) + 1
        words = " ".join(process.arguments) or f"[{process.command}]"
        rows.append((str(process.pid), process.state, str(len(process.thread_ids)), "  " * depth + words))
    printer.table([Column("PID", right=True), Column("STATE"), Column("THREADS", right=True), Column("COMMAND")], rows)


def _python(found: inspection_pb2.PythonInspection, title: str) -> None:
    for thread in found.threads:
        where = ", ".join(filter(None, (title, f"thread {thread.id}", thread.name)))
        _section(f"Python {found.version}: {where}, newest call last")
        for frame in reversed(thread.frames):
            printer.result(printer.cell(f"  {frame.file}:{frame.line} in {frame.function}"))
            _variables(frame.variables)
    for module in found.modules:
        _section(f"Variables of {module.file}")
        _variables(module.variables)
    if found.problem:
        problems([f"{title + ': ' if title else ''}{found.problem}"])


def _variables(variables: Iterable[inspection_pb2.PythonVariable]) -> None:
    for variable in variables:
        printer.result(printer.cell(f"      {variable.name} = {variable.text}"))


def _open_files(processes: Iterable[inspection_pb2.ProcessInspection]) -> None:
    rows = [
        (
            str(process.pid),
            str(file.descriptor),
            file.kind,
            f"{file.name} -> {file.peer}" if file.peer else file.name,
            file.state or file.mode,
            f"{file.position} of {file.size_bytes}" if file.position >= 0 else "",
        )
        for process in processes
        for file in process.open_files
    ]
    if rows:
        _section("Open files")
        columns = (Column("PID", right=True), Column("FD", right=True), Column("KIND"), Column("NAME", flexible=True))
        printer.table([*columns, Column("STATE"), Column("POSITION")], rows)


def _memory(processes: Iterable[inspection_pb2.ProcessInspection]) -> None:
    rows = [
        (str(process.pid), _area(area.kind, area.path), units.size(area.dumped_bytes), units.size(area.size_bytes))
        for process in processes
        for area in process.memory[:_AREAS]
    ]
    if rows:
        _section("Memory")
        columns = (Column("PID", right=True), Column("WHAT", flexible=True))
        printer.table([*columns, Column("IN IMAGE", right=True), Column("MAPPED", right=True)], rows)


def _scratch(found: inspection_pb2.Inspection) -> None:
    if not found.scratch_file_count:
        return
    _section(f"Files of the flow: {found.scratch_file_count}, {units.size(found.scratch_bytes)}")
    for file in found.scratch_files[:_FILES]:
        size = units.size(file.size_bytes) if file.kind == "file" else file.kind
        printer.result(printer.cell(f"  {file.path}  {size}"))
    if found.scratch_file_count > _FILES:
        printer.result(f"  ... and {found.scratch_file_count - _FILES} more")


def _variable_changes(changes: Iterable[inspection_pb2.VariableChange]) -> None:
    place = None
    for change in changes:
        here = (change.pid, change.thread_id, change.file, change.function, change.depth)
        if here != place:
            place = here
            thread = f", thread {change.thread_id}" if change.thread_id else ""
            where = f"{change.function} in {change.file}" if change.function else change.file
            _section(f"Variables of {where} (process {change.pid}{thread})")
        values = f"{change.before}  ->  {change.after}" if change.before and change.after else ""
        printer.result(printer.cell(f"{_mark(change.kind)} {change.name} = {values or change.before or change.after}"))


def _mark(kind: int) -> str:
    from flowsnap.v1 import inspection_pb2

    name = inspection_pb2.ChangeKind.Name(kind)  # type: ignore[arg-type]
    return _MARKS.get(name.removeprefix("CHANGE_KIND_"), "?")


def _area(kind: int, path: str) -> str:
    from flowsnap.v1 import inspection_pb2

    name = inspection_pb2.MemoryKind.Name(kind)  # type: ignore[arg-type]
    return path or name.removeprefix("MEMORY_KIND_").lower()


def _json(value: bytes) -> str:
    return value.decode(errors="replace") or "null"
