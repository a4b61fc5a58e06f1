"""What was seen in savepoints, as messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flowsnap.v1 import inspection_pb2 as pb

from controller import model
from controller.api import pack
from controller.inspection.diff import ChangeKind, Difference
from controller.inspection.memory import AreaKind
from controller.inspection.open_files import OpenFile
from controller.inspection.python_state import PythonState, PythonThread, Variable
from controller.inspection.report import Process, Report

_SCRATCH_FILES: Final = 1000
# Of one process.
_AREAS: Final = 200
_OPEN_FILES: Final = 2000
# Process ids are 32-bit there, and memory may say anything.
_ID: Final = 0x7FFFFFFF
_LARGEST: Final = (1 << 63) - 1


def inspection(savepoint: model.Savepoint, report: Report) -> pb.Inspection:
    files = [file for file in report.scratch_files if file.kind != "folder"]
    return pb.Inspection(
        savepoint=pack.savepoint(savepoint),
        output_value_json=savepoint.output_value,
        processes=map(_process, report.processes),
        scratch_files=[
            pb.ScratchFile(path=file.path, kind=file.kind, size_bytes=file.size) for file in files[:_SCRATCH_FILES]
        ],
        scratch_file_count=len(files),
        scratch_bytes=sum(file.size for file in files),
        criu_version=report.criu,
        kernel=report.kernel,
        machine=report.machine,
        problems=report.problems,
    )


def _process(value: Process) -> pb.ProcessInspection:
    return pb.ProcessInspection(
        pid=value.pid & _ID,
        parent_pid=value.parent_pid & _ID,
        command=value.command,
        arguments=value.arguments,
        state=value.state,
        thread_ids=[number & _ID for number in value.thread_ids],
        memory=[
            pb.MemoryArea(
                kind=_memory_kind(area.kind),
                path=area.path,
                size_bytes=min(area.size_bytes, _LARGEST),
                dumped_bytes=area.dumped_bytes,
            )
            for area in value.memory[:_AREAS]
        ],
        open_files=map(_open_file, value.files[:_OPEN_FILES]),
        python=None if value.python is None else _python(value.python),
    )


def _open_file(value: OpenFile) -> pb.OpenFile:
    return pb.OpenFile(
        descriptor=value.descriptor & _ID,
        kind=value.kind,
        name=value.name,
        mode=value.mode,
        peer=value.peer,
        state=value.state,
        position=min(value.position, _LARGEST),
        size_bytes=min(value.size, _LARGEST),
    )


def _python(value: PythonState) -> pb.PythonInspection:
    return pb.PythonInspection(
        version=value.version,
        threads=map(_thread, value.threads),
        modules=[pb.PythonModule(file=module.file, variables=_variables(module.variables)) for module in value.modules],
        problem=value.problem,
    )


def _thread(value: PythonThread) -> pb.PythonThread:
    return pb.PythonThread(
        id=value.id & _ID,
        name=value.name,
        frames=[
            pb.PythonFrame(
                file=frame.file,
                function=frame.function,
                line=frame.line & _ID,
                is_users=frame.is_users,
                variables=_variables(frame.variables),
            )
            for frame in value.frames
        ],
    )


def _variables(values: Iterable[Variable]) -> list[pb.PythonVariable]:
    return [
        pb.PythonVariable(name=one.name, type=one.value.type, text=one.value.text, cut=not one.value.complete)
        for one in values
    ]


def comparison(before: model.Savepoint, after: model.Savepoint, difference: Difference) -> pb.Comparison:
    return pb.Comparison(
        before=pack.savepoint(before),
        after=pack.savepoint(after),
        processes=[
            pb.ProcessChange(kind=_change(one.kind), pid=one.pid & _ID, command=one.command, change=one.change)
            for one in difference.processes
        ],
        variables=[
            pb.VariableChange(
                kind=_change(one.kind),
                pid=one.pid & _ID,
                thread_id=one.thread_id & _ID,
                file=one.file,
                function=one.function,
                depth=one.depth,
                name=one.name,
                before=one.before,
                after=one.after,
            )
            for one in difference.variables
        ],
        scratch_files=[
            pb.ScratchFileChange(
                kind=_change(one.kind), path=one.path, bytes_before=one.bytes_before, bytes_after=one.bytes_after
            )
            for one in difference.scratch_files
        ],
        memory=[
            pb.MemoryChange(
                pid=one.pid & _ID,
                kind=_memory_kind(one.kind),
                path=one.path,
                changed_pages=one.changed_pages,
                added_pages=one.added_pages,
                removed_pages=one.removed_pages,
            )
            for one in difference.memory
        ],
        output_before_json=before.output_value,
        output_after_json=after.output_value,
        problems=difference.problems,
    )


def _memory_kind(kind: AreaKind) -> pb.MemoryKind.ValueType:
    return pb.MemoryKind.Value(f"MEMORY_KIND_{kind.value}")


def _change(kind: ChangeKind) -> pb.ChangeKind.ValueType:
    return pb.ChangeKind.Value(f"CHANGE_KIND_{kind.value}")
