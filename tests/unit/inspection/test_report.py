"""Reports and comparisons of images that are whole, cut off, garbage."""

from __future__ import annotations

import json
import struct

import pytest
from flowsnap.criu import images_pb2 as criu
from hypothesis import given, settings
from hypothesis import strategies as st
from made_image import DATA, HEAP, PAGE, Files, Memory, framed, image, runtime

from controller.inspection.budget import Budget
from controller.inspection.diff import ChangeKind, compare
from controller.inspection.errors import Absent, Unreadable
from controller.inspection.memory import AreaKind
from controller.inspection.python_values import WIDE, Limits
from controller.inspection.report import Inspection, Report


def opened(files: Files, limits: Limits = Limits()) -> Inspection:  # noqa: B008
    return Inspection(files, lambda path, size, offset, length: b"F" * length, limits, Budget())


def report_of(files: Files) -> Report:
    return opened(files).report()


def test_areas_are_summed_when_memory_is_reported() -> None:
    (process,) = report_of(image(bytes(3 * PAGE))).processes
    areas = {(area.kind, area.path): (area.size_bytes, area.dumped_bytes) for area in process.memory}
    assert areas == {
        (AreaKind.HEAP, ""): (3 * PAGE, 3 * PAGE),
        (AreaKind.FILE, "/usr/bin/python3"): (2 * PAGE, PAGE),
    }
    assert (process.pid, process.command, process.state) == (1, "python3", "running")


def test_memory_is_what_the_image_or_the_file_has_when_it_is_read() -> None:
    inspection = opened(image(b"h" * PAGE + b"i" * PAGE, b"d" * PAGE))
    inspection.report()
    memory = inspection.memories[1]
    assert memory.read(HEAP + PAGE - 2, 4) == b"hhii"
    assert memory.read(DATA + PAGE - 2, 4) == b"ddFF"
    for address, length in ((0, 1), (HEAP - 1, 2), (DATA + 2 * PAGE, 1), (HEAP, 1 << 40), (HEAP, -1), (1 << 64, 8)):
        with pytest.raises(Absent):
            memory.read(address, length)


def test_options_that_are_secrets_are_masked_when_arguments_are_shown() -> None:
    heap = bytearray(PAGE)
    arguments = b"curl\0--password\0geheim\0--token=abc\0--name\0eve\0https://u:p@x/\0-c\0print('token=1')\0"
    heap[: len(arguments)] = arguments
    files = image(heap)
    found = criu.Memory.FromString(files.files["criu/mm-1.img"][12:])
    found.arguments_start, found.arguments_end = HEAP, HEAP + len(arguments)
    files.files["criu/mm-1.img"] = framed(found)
    (process,) = report_of(files).processes
    assert process.arguments[:6] == ("curl", "--password", "********", "--token=********", "--name", "eve")
    assert process.arguments[6] == "https://********@x/"


def test_sockets_have_their_addresses_when_files_are_shown() -> None:
    kinds = criu.File
    six = struct.unpack("<4I", bytes(15) + b"\1")
    files = framed(
        kinds(
            kind=4, id=2, internet=criu.InternetSocket(family=2, type=1, state=10, source_port=80, source_address=[0])
        ),
        kinds(
            kind=4,
            id=3,
            internet=criu.InternetSocket(
                family=10,
                type=1,
                state=1,
                source_port=80,
                source_address=six,
                destination_port=9,
                destination_address=six,
            ),
        ),
        kinds(kind=5, id=4, unix=criu.UnixSocket(inode=7, peer=8, path=b"\0hidden")),
        kinds(kind=5, id=5, unix=criu.UnixSocket(inode=8, peer=7, path=b"/tmp/s\0")),
        kinds(kind=2, id=6, pipe=criu.Pipe(pipe_id=12, flags=1)),
        kinds(kind=7, id=7),
        kinds(kind=999, id=8),
    )
    descriptors = framed(*(criu.Descriptor(file_id=number, number=20 - number) for number in range(2, 10)))
    (process,) = report_of(image(bytes(PAGE), criu__files_img=files, **{"criu__fdinfo-2_img": descriptors})).processes
    found = {file.descriptor: file for file in process.files}
    assert list(found) == sorted(found)
    assert (found[18].kind, found[18].name, found[18].state) == ("tcp", "0.0.0.0:80", "listening")
    assert (found[17].kind, found[17].name, found[17].peer) == ("tcp6", "[::1]:80", "[::1]:9")
    assert (found[16].name, found[16].peer, found[16].state) == ("@hidden", "/tmp/s", "connected")
    assert (found[14].kind, found[14].name, found[14].mode) == ("pipe", "pipe:[12]", "write")
    assert [found[number].kind for number in (13, 12, 11)] == ["epoll", "other", "other"]


@pytest.mark.parametrize("name", ["savepoint.json", "scratch.json", "criu/pstree.img", "criu/files.img"])
@pytest.mark.parametrize("content", [b"", b"\0", b"{", b"[1]", b'{"a":[]}', b"\xff" * 100])
def test_image_is_unreadable_when_a_main_file_is_garbage(name: str, content: bytes) -> None:
    files = image(bytes(PAGE))
    files.files[name] = content
    if name == "savepoint.json" and content.startswith(b'{"'):
        report_of(files)
        return
    with pytest.raises(Unreadable, match=name):
        report_of(files)


@pytest.mark.parametrize("name", ["criu/core-1.img", "criu/mm-1.img", "criu/pagemap-1.img", "criu/fdinfo-2.img"])
def test_rest_is_reported_when_a_file_of_one_process_is_cut_off(name: str) -> None:
    files = image(bytes(PAGE))
    if name == "criu/fdinfo-2.img":
        files.files[name] = framed(criu.Descriptor(file_id=1))
    files.files[name] = files.files[name][:-1]
    report = report_of(files)
    assert [process.pid for process in report.processes] == [1]
    (problem,) = report.problems
    assert problem.startswith(name)


def test_page_map_is_refused_when_there_are_fewer_pages() -> None:
    files = image(bytes(PAGE))
    files.files["criu/pages-1.img"] = bytes(PAGE)
    assert "shorter than its page map says" in report_of(files).problems[0]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_only_the_declared_error_is_raised_when_files_are_garbage(data: st.DataObject) -> None:
    memory = Memory()
    files = image(memory.data, runtime(memory.interpreter(memory.frame("f", 1, {"n": memory.int(1)}))))
    name = data.draw(st.sampled_from(sorted(set(files.files) - {"criu/pages-1.img"})))
    content = bytearray(files.files[name])
    for _ in range(data.draw(st.integers(1, 5))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    files.files[name] = bytes(content[: cut if data.draw(st.booleans()) else None])
    other = image(memory.data)
    try:
        report_of(files)
        compare(opened(files), opened(other))
    except Unreadable:
        return


def scratch(*entries: dict[str, object]) -> bytes:
    return json.dumps(list(entries)).encode()


def entry(name: str, size: int, at: int, mode: int = 0o100644) -> dict[str, object]:
    return {"inode": 5, "names": [name], "mode": mode, "size": size, "mtime_ns": 1, "extents": [[0, at, size]]}


def test_files_are_the_flows_paths_when_scratch_is_reported() -> None:
    entries = scratch(
        {"inode": 2, "names": ["tmp"], "mode": 0o41777, "size": 60, "extents": []},
        entry("tmp/a", 3, 0),
        {**entry("work/b", 3, 0), "names": ["work/b", "shm/c"]},
        entry("work/\udcff", 0, 0),
    )
    files = {
        file.path: (file.kind, file.size)
        for file in report_of(image(bytes(PAGE), **{"scratch.json": entries})).scratch_files
    }
    assert files == {
        "/tmp/a": ("file", 3),
        "/work/b": ("file", 3),
        "/dev/shm/c": ("file", 3),
        "/work/\\udcff": ("file", 0),
    }


def test_mapped_file_is_read_from_scratch_when_it_is_the_flows_own() -> None:
    files = image(
        bytes(PAGE), **{"scratch.json": scratch(entry("work/lib", 2 * PAGE, 0)), "scratch.bin": b"L" * 2 * PAGE}
    )
    program = criu.File(kind=1, id=1, regular=criu.RegularFile(path=b"/work/lib"))
    files.files["criu/files.img"] = framed(program)
    inspection = opened(files)
    inspection.report()
    assert inspection.memories[1].read(DATA + PAGE, 3) == b"LLL"


def test_changes_are_told_when_two_images_are_compared() -> None:
    def made(number: int, names: dict[str, str], files: bytes, content: bytes) -> Inspection:
        memory = Memory()
        variables = {name: memory.str(text) for name, text in names.items()}
        interpreter = memory.interpreter(memory.frame("f", 1, {"n": memory.int(number), **variables}))
        more = {"scratch.json": files, "scratch.bin": content}
        return opened(image(memory.data, runtime(interpreter), **more), WIDE)

    before = made(
        1,
        {"same": "s", "old": "o"},
        scratch(entry("work/a", 1, 0), entry("work/b", 1, PAGE)),
        b"a".ljust(PAGE, b"\0") + b"b",
    )
    after = made(
        2,
        {"same": "s", "new": "n"},
        scratch(entry("work/b", 1, 0), entry("work/c", 2, PAGE)),
        b"b".ljust(PAGE, b"\0") + b"cc",
    )
    found = compare(before, after)
    assert {(one.name, one.kind, one.before, one.after) for one in found.variables} == {
        ("n", ChangeKind.CHANGED, "1", "2"),
        ("old", ChangeKind.REMOVED, "'o'", ""),
        ("new", ChangeKind.ADDED, "", "'n'"),
    }
    assert {(one.path, one.kind, one.bytes_before, one.bytes_after) for one in found.scratch_files} == {
        ("/work/a", ChangeKind.REMOVED, 1, -1),
        ("/work/c", ChangeKind.ADDED, -1, 2),
    }
    (memory,) = found.memory
    assert (memory.kind, memory.added_pages, memory.removed_pages) == (AreaKind.HEAP, 0, 0)
    assert 1 <= memory.changed_pages <= 2


def test_pages_are_counted_when_memory_grew_and_changed() -> None:
    before = opened(image(b"a" * PAGE + b"b" * PAGE))
    after = opened(image(b"a" * PAGE + b"x" * PAGE + b"y" * PAGE))
    (grown,) = compare(before, after).memory
    assert (grown.changed_pages, grown.added_pages, grown.removed_pages) == (1, 1, 0)
    (shrunk,) = compare(opened(image(b"a" * PAGE * 3)), opened(image(b"a" * PAGE))).memory
    assert (shrunk.changed_pages, shrunk.added_pages, shrunk.removed_pages) == (0, 0, 2)


def test_processes_are_told_apart_when_their_tree_changed() -> None:
    def made(*processes: criu.Process) -> Inspection:
        more = {
            f"criu__core-{one.pid}_img": framed(criu.Core(task=criu.Task(state=1, command=b"sh"))) for one in processes
        }
        return opened(image(bytes(PAGE), criu__pstree_img=framed(*processes), **more))

    before = made(criu.Process(pid=1, thread_ids=[1, 2]), criu.Process(pid=4, parent_pid=1))
    after = made(criu.Process(pid=1, thread_ids=[1]), criu.Process(pid=5, parent_pid=1))
    found = {one.pid: (one.kind, one.change) for one in compare(before, after).processes}
    assert found == {
        1: (ChangeKind.CHANGED, "threads: 1, 2 became 1"),
        4: (ChangeKind.REMOVED, ""),
        5: (ChangeKind.ADDED, ""),
    }
