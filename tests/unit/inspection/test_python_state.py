"""Python in memory that is sound, forged, cut off or random: what is found, and that it always ends soon."""

from __future__ import annotations

import random
import time

import pytest
from flowsnap.criu import images_pb2 as criu
from hypothesis import given, settings
from hypothesis import strategies as st
from made_image import DATA, HEAP, PAGE, Files, Memory, framed, image, runtime

from controller.inspection.budget import Budget
from controller.inspection.errors import Absent
from controller.inspection.python_frames import is_users_file, line_at
from controller.inspection.python_state import PythonState
from controller.inspection.python_values import Limits
from controller.inspection.report import Inspection


def state_of(files: Files, budget: Budget | None = None) -> PythonState | None:
    inspection = Inspection(files, lambda *_: None, Limits(), budget or Budget())
    return inspection.report().processes[0].python


def with_variables(memory: Memory, **variables: int) -> Files:
    interpreter = memory.interpreter(memory.frame("handler", 7, variables))
    return image(memory.data, runtime(interpreter))


def shown(files: Files) -> dict[str, str]:
    state = state_of(files)
    assert state is not None
    return {one.name: one.value.text for frame in state.threads[0].frames for one in frame.variables}


def test_stack_and_variables_are_found_when_python_runs() -> None:
    memory = Memory()
    key, value = memory.str("a"), memory.int(-(1 << 40))
    outer = memory.frame("handler", 7, {"n": memory.int(5)})
    inner = memory.frame("inner", 9, {"d": memory.dict((key, value)), "t": memory.tuple(key)}, previous=outer)
    state = state_of(image(memory.data, runtime(memory.interpreter(inner, outer))))
    assert state is not None
    assert (state.version, state.problem) == ("3.13.5", "")
    first, second = state.threads
    assert (first.id, second.id) == (1, 2)
    assert [(frame.function, frame.line) for frame in first.frames] == [("inner", 9), ("handler", 7)]
    values = {one.name: one.value.text for frame in first.frames for one in frame.variables}
    assert values == {"n": "5", "d": "{'a': -1099511627776}", "t": "('a',)"}


def test_variables_of_libraries_are_left_out_when_a_stack_is_read() -> None:
    memory = Memory()
    frame = memory.frame("wait", 3, {"n": memory.int(5)}, file="/usr/lib/python3.13/threading.py")
    state = state_of(image(memory.data, runtime(memory.interpreter(frame))))
    assert state is not None
    (found,) = state.threads[0].frames
    assert (found.function, found.line, found.variables) == ("wait", 3, ())


def test_no_python_is_found_when_none_runs() -> None:
    assert state_of(image(bytes(PAGE))) is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"version": 0x030E00F0}, "Python 3.14.0 is not known"), ({"free_threaded": 1}, "without its global lock")],
)
def test_version_is_told_when_it_is_not_known(changed: dict[str, int], words: str) -> None:
    memory = Memory()
    head = runtime(memory.interpreter(), **{name: value for name, value in changed.items() if name == "version"})
    if "free_threaded" in changed:
        head = head[:16] + (1).to_bytes(8, "little") + head[24:]
    state = state_of(image(memory.data, head))
    assert state is not None
    assert state.problem.startswith("variables can't be read: ")
    assert words in state.problem


@pytest.mark.parametrize("path", ["/usr/bin/python3.12", "/usr/lib/libpython3.12.so.1.0"])
def test_version_is_told_when_only_the_program_has_it(path: str) -> None:
    """Before 3.13 there is nothing in memory that says where Python's state lies."""
    files = image(bytes(PAGE))
    program = criu.File(kind=1, id=1, regular=criu.RegularFile(path=path.encode()))
    files.files["criu/files.img"] = framed(program)
    state = state_of(files)
    assert state is not None
    assert (state.version, state.problem) == ("3.12", "variables can't be read: Python 3.12 is not known")


def test_each_loop_ends_when_memory_goes_in_circles() -> None:
    memory = Memory()
    loop = memory.list(0, 0)
    array = HEAP + memory.data.find(b"\0" * 8, loop - HEAP + 40)
    memory.number(loop + 24, array)
    memory.number(array, loop)
    memory.number(array + 8, loop)
    frame = memory.frame("handler", 7, {"loop": loop})
    memory.number(frame + 8, frame)
    interpreter = memory.interpreter(frame)
    memory.number(interpreter, interpreter)
    state = state_of(image(memory.data, runtime(interpreter)))
    assert state is not None
    (thread,) = state.threads
    (found,) = thread.frames
    assert found.variables[0].value.text == "[…, …]"


def test_widening_nests_end_at_the_limits_when_they_have_no_end() -> None:
    """Ten lists, each twenty times in the next one: 20**10 items."""
    memory = Memory()
    nest = memory.int(1)
    for _ in range(10):
        nest = memory.list(*[nest] * 20)
    text = shown(with_variables(memory, nest=nest))["nest"]
    assert len(text) <= Limits().characters + 1


@pytest.mark.parametrize(
    ("kind", "offset", "number", "expected"),
    [
        ("list", 16, 1 << 62, "<not in the savepoint>"),
        ("list", 16, -1, "<not in the savepoint>"),
        ("list", 24, 0xDEAD0000, "<not in the savepoint>"),
        ("tuple", 16, 1 << 47, None),
        ("str", 16, 1 << 47, None),
        ("str", 32, 7 << 2, "<not in the savepoint>"),
        ("int", 16, 1 << 62, "<int of more than 3000 bits>"),
        ("dict", 32, 1, "<not in the savepoint>"),
        ("dict", 40, HEAP, "<not in the savepoint>"),
        ("bytes", 16, (1 << 64) - 1, "<not in the savepoint>"),
        ("list", 8, 0, "<not in the savepoint>"),
        ("list", 8, (1 << 64) - 8, "<not in the savepoint>"),
    ],
)
def test_rest_is_shown_when_one_object_is_forged(kind: str, offset: int, number: int, expected: str | None) -> None:
    memory = Memory()
    one = memory.int(1)
    forged = {
        "list": lambda: memory.list(one),
        "tuple": lambda: memory.tuple(one),
        "str": lambda: memory.str("s"),
        "int": lambda: memory.int(7),
        "bytes": lambda: memory.bytes(b"b"),
        "dict": lambda: memory.dict((memory.str("k"), one)),
    }[kind]()
    memory.number(forged + offset, number)
    values = shown(with_variables(memory, forged=forged, honest=memory.int(42)))
    assert values.get("honest") == "42"
    if expected is not None:
        assert values.get("forged", "<not in the savepoint>") == expected


def test_secrets_are_masked_when_their_names_say_so() -> None:
    memory = Memory()
    table = memory.dict((memory.str("password"), memory.str("geheim")), (memory.str("user"), memory.str("eve")))
    url = memory.str("https://eve:geheim@example.org/")
    values = shown(with_variables(memory, api_token=memory.str("geheim"), table=table, url=url))
    assert values["api_token"] == "********"
    assert values["table"] == "{'password': ********, 'user': 'eve'}"
    assert values["url"] == "'https://********@example.org/'"


def test_credentials_are_masked_when_the_text_is_cut_within_them() -> None:
    memory = Memory()
    before = "x" * (Limits().text - 12)
    values = shown(with_variables(memory, text=memory.str(f"{before} https://eve:{'s3cret' * 20}@example.org/")))
    assert "s3cret" not in values["text"]


def test_what_was_read_is_kept_when_the_budget_is_used_up() -> None:
    memory = Memory(64)
    frames = [memory.frame(f"f{number}", 1, {"n": memory.int(number)}) for number in range(40)]
    files = image(memory.data, runtime(memory.interpreter(*frames)))
    state = state_of(files, Budget(steps=900))
    assert state is not None
    assert state.problem == "reading was stopped: too many objects"
    assert 0 < len(state.threads) < 40
    state = state_of(files, Budget(characters=100))
    assert state is not None
    assert state.problem == "reading was stopped: too much text"


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32), changes=st.integers(1, 200))
def test_reading_ends_soon_when_memory_is_garbage(seed: int, changes: int) -> None:
    """Sound structures in which words were replaced: by others of the same memory, by numbers large and small."""
    source = random.Random(seed)
    memory = Memory()
    items = [memory.int(1), memory.str("text"), memory.bytes(b"raw")]
    nest = memory.dict((memory.str("k"), memory.list(*items)), (memory.str("l"), memory.tuple(*items)))
    outer = memory.frame("handler", 7, {"nest": nest, "n": items[0]})
    inner = memory.frame("inner", 9, {"nest": nest, "s": items[1]}, previous=outer)
    interpreter = memory.interpreter(inner, outer)
    head = bytearray(runtime(interpreter))
    words = len(memory.data) // 8
    for _ in range(changes):
        at = 8 * source.randrange(words // 4)
        value = source.choice(
            [
                memory.data[8 * (other := source.randrange(words // 4)) : 8 * other + 8],
                source.randbytes(8),
                source.randrange(1 << 10).to_bytes(8, "little"),
                (HEAP + source.randrange(len(memory.data))).to_bytes(8, "little"),
                (DATA + source.randrange(3 * PAGE)).to_bytes(8, "little"),
            ]
        )
        memory.data[at : at + 8] = value
    if seed % 3 == 0:
        at = 16 + 8 * source.randrange(90)
        head[at : at + 8] = source.randrange(1 << 12).to_bytes(8, "little")
    began = time.process_time()
    state_of(image(memory.data, bytes(head)), Budget(steps=50_000))
    assert time.process_time() - began < 5


def test_reading_ends_soon_when_every_word_points_somewhere() -> None:
    memory = Memory()
    interpreter = memory.interpreter(memory.frame("handler", 7, {"n": memory.int(1)}))
    for seed in range(30):
        source = random.Random(seed)
        data = bytearray(memory.data)
        for at in range(0, len(data), 8):
            if source.random() < 0.02:
                data[at : at + 8] = (HEAP + source.randrange(0, len(data), 8)).to_bytes(8, "little")
        state_of(image(data, runtime(interpreter)), Budget(steps=50_000))


@pytest.mark.parametrize(
    ("unit", "line"),
    [(0, 10), (1, 10), (2, 12), (3, 11), (4, 0), (5, 511), (6, 0)],
)
def test_line_is_that_of_the_code_unit_when_a_table_is_read(unit: int, line: int) -> None:
    table = bytes(
        [
            *(0x80 | 1, 0x00),  # two units on the first line
            *(0x80 | 12 << 3, 0, 0),  # one unit, two lines further
            *(0x80 | 13 << 3, 3),  # one unit, one line back
            0x80 | 15 << 3,  # one unit without a line
            *(0x80 | 14 << 3, 0x40 | 1000 & 63, 1000 >> 6, 0, 1, 1),  # one unit, 500 lines further
        ]
    )
    assert line_at(table, 10, unit) == line


@given(table=st.binary(max_size=60), first=st.integers(0, 1 << 32), unit=st.integers(-5, 300))
def test_line_is_some_number_when_a_table_is_garbage(table: bytes, first: int, unit: int) -> None:
    try:
        assert line_at(table, first, unit) >= 0
    except Absent:
        return


@pytest.mark.parametrize(
    ("path", "users"),
    [
        ("/flow/flow.py", True),
        ("/work/module.py", True),
        ("<string>", True),
        ("<frozen runpy>", False),
        ("/usr/lib/python3.13/threading.py", False),
        ("/usr/local/lib/python3.13/dist-packages/flow_api/runner.py", False),
        ("/work/venv/lib/python3.13/site-packages/numpy/__init__.py", False),
    ],
)
def test_code_is_the_users_when_it_is_no_librarys(path: str, users: bool) -> None:
    assert is_users_file(path) is users
