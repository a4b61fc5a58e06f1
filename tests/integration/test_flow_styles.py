"""Ways to write a flow: with coroutines, closures and generators, from folders, and as shell scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from flowsnap.v1 import control_pb2 as pb
from flowsnap.v1 import types_pb2
from platform_under_test import CANCELLED, ERROR, SUCCESS, Platform


def snapctl(platform: Platform, *words: object, status: int = 0, cwd: Path | None = None) -> str:
    """What it prints."""
    done = subprocess.run(
        [Path(sys.executable).with_name("snapctl"), *map(str, words)],
        env={**os.environ, "FLOWSNAP_DATA_DIR": str(platform.data_dir)},
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def test_a_coroutine_as_handler_is_saved_and_loaded_between_its_awaits(platform: Platform) -> None:
    execution = platform.run(
        """
        import asyncio

        async def doubled(n):
            await asyncio.sleep(0)
            return 2 * n

        async def handler(system, this):
            found = await asyncio.gather(*map(doubled, range(3)))
            this.create_dump("here")
            print("RESULT", found + [await doubled(21)])
            this.sleep(3600)
        """
    )
    platform.wait_results(execution, 1)
    platform.load(execution, name="here")
    assert platform.wait_results(execution, 2) == ["[0, 2, 4, 42]"] * 2
    platform.cancel(execution)


def test_a_coroutine_that_fails_ends_with_its_traceback(platform: Platform) -> None:
    ended = platform.wait_ended(platform.run("async def handler(system, this):\n    1 / 0\n"))
    assert ended.status == ERROR
    assert "flow.py" in ended.message
    assert ended.message.endswith("ZeroDivisionError: division by zero")


def test_closures_generators_and_finally_blocks_go_on_where_they_were_after_a_load(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            for name in ("a", "b", "c"):
                system.file(f"styles-{name}").save(name)
            total = 0

            def add(text):
                nonlocal total
                total += ord(text)
                return total

            seen = []
            wanted = {"field": "name", "op": "like", "value": "styles-%"}
            try:
                for file in system.files(filter=wanted):
                    try:
                        if file.name == "styles-b" and this.restored is None:
                            this.create_dump("in the loop")
                        seen.append(add(file.get("content")))
                    finally:
                        this.set_output(file.name, len(seen))
            finally:
                print("RESULT", seen)
            this.sleep(3600)
        """
    )
    platform.wait_results(execution, 1)
    platform.load(execution, name="in the loop")
    assert platform.wait_results(execution, 2) == ["[97, 195, 294]"] * 2
    assert platform.output(execution) == {"styles-a": 1, "styles-b": 2, "styles-c": 3}
    platform.cancel(execution)


def test_a_lock_is_handed_from_one_execution_to_its_child(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            lock = system.setting("handed over")
            lock.acquire()
            child = this.script(this.get("input_value"), wait=False)
            lock.release(to=child.get("id"))
            lock.acquire()
            child.wait()
            this.success(child.get("message"))
        """,
        textwrap.dedent(
            """
            def handler(system, this):
                lock = system.setting("handed over")
                lock.acquire()
                lock.release()
                this.success("had it")
            """
        ),
    )
    ended = platform.wait_ended(execution)
    assert (ended.status, ended.message) == (SUCCESS, "had it")


def test_values_of_ten_megabytes_unicode_names_and_nothing_go_both_ways(platform: Platform) -> None:
    platform.push("größe ☃", "def handler(system, this):\n    this.save(output_value=this.get('input_value'))\n")
    execution = platform.run(
        """
        def handler(system, this):
            large = "ü" * (5 << 20)
            child = this.flow("größe ☃", {"large": large}, name="naïve 名前")
            same = child.get("output_value") == {"large": large}
            nothing = this.flow("größe ☃").get("output_value", "name")
            this.success([same, child.load("name"), nothing[0]])
        """,
        None,
    )
    ended = platform.wait_ended(execution)
    assert (ended.status, ended.message) == (SUCCESS, "[True, 'naïve 名前', None]")


def test_a_folder_is_pushed_run_by_name_and_kept_by_version(platform: Platform, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write(
        folder / "main.py",
        "from helpers.words import GREETING\n\ndef handler(system, this):\n    this.success(GREETING)\n",
    )
    write(folder / "helpers" / "words.py", 'GREETING = "one"\n')
    write(folder / "helpers" / "__init__.py", "")
    assert snapctl(platform, "flow", "push", folder) == "report 1\n"
    assert snapctl(platform, "flow", "push", folder) == "report 1\n"
    first = snapctl(platform, "run", "report").strip()
    assert platform.wait_ended(first).message == "one"
    write(folder / "helpers" / "words.py", 'GREETING = "two"\n')
    assert snapctl(platform, "flow", "push", folder) == "report 2\n"
    second = snapctl(platform, "run", "report").strip()
    assert platform.wait_ended(second).message == "two"
    shown = json.loads(snapctl(platform, "show", first, "-o", "json"))
    assert [file["path"] for file in shown["files"]] == ["helpers/__init__.py", "helpers/words.py"]
    assert shown["files"][1]["content"] == 'GREETING = "one"\n'
    assert 'GREETING = "two"' in snapctl(platform, "flow", "show", "report")
    assert 'GREETING = "one"' in snapctl(platform, "flow", "show", "report", "--number", 1)
    numbers = [flow["number"] for flow in json.loads(snapctl(platform, "flow", "ls", "report", "-o", "json"))["flows"]]
    assert numbers == [2, 1]
    assert "report" in snapctl(platform, "flow", "ls")
    snapctl(platform, "flow", "rm", "report")
    snapctl(platform, "run", "report", status=3)
    assert snapctl(platform, "show", first, "--script").startswith("from helpers.words")


def test_a_traceback_names_the_module_of_a_folder(platform: Platform, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    write(folder / "main.py", "import sums\n\ndef handler(system, this):\n    sums.divide()\n")
    write(folder / "sums.py", "def divide():\n    return 1 / 0\n")
    execution = snapctl(platform, "run", f"{folder}/").strip()
    message = platform.wait_ended(execution).message
    assert 'File "/flow/main.py", line 4' in message
    assert 'File "/flow/sums.py", line 2' in message


def test_children_stand_below_their_parent_in_the_tree_and_in_show(platform: Platform) -> None:
    platform.push("leaf", "def handler(system, this):\n    pass\n")
    parent = platform.run('def handler(system, this):\n    this.flow("leaf", name="the leaf")\n', name="the root")
    assert platform.wait_ended(parent).status == SUCCESS
    lines = snapctl(platform, "ls", "--tree").splitlines()
    at = next(number for number, line in enumerate(lines) if parent in line)
    assert "└ the leaf" in lines[at + 1]
    assert "the leaf" in snapctl(platform, "show", parent).partition("Children:")[2]


def test_a_shell_script_is_an_execution_with_savepoints_at_its_calls(platform: Platform, tmp_path: Path) -> None:
    write(
        tmp_path / "backup.sh",
        """
        set -eu
        count=1
        flowcall log "called with $1" and "$2"
        flowcall setting shell-said '{"a": 1}'
        id=$(flowcall savepoint here)
        count=$((count + 1))
        flowcall set-output count "$count"
        flowcall set-output input "$(flowcall get input_value)"
        if flowcall restored; then exit 0; fi
        flowcall status "the first time"
        exit 7
        """,
    )
    arguments = ("-i", "x=ü", "--", "bash", "backup.sh", "one", "two")
    execution = snapctl(platform, "run", *arguments, cwd=tmp_path).strip()
    ended = platform.wait_ended(execution)
    assert ended.status == ERROR
    assert "ended with exit status 7" in ended.message
    assert platform.log(execution, "log") == ["called with one and two"]
    assert platform.output(execution)["input"] == {"x": "ü"}
    named = next(point for point in platform.savepoints(execution) if point.name == "here")
    assert (named.call, named.file, named.line, named.function) == (
        *("create_dump", "/flow/backup.sh", 6),
        "flowcall savepoint",
    )
    platform.load(execution, name="here")
    again = platform.wait_ended(execution)
    platform.wait_until(lambda: platform.get(execution).status == SUCCESS, execution)
    assert platform.output(execution)["count"] == 2
    assert again.branch == 2
    script = snapctl(platform, "show", execution, "--script")
    assert "exit 7" in script


def test_a_program_with_a_slash_is_sent_along_and_its_words_are_kept(platform: Platform, tmp_path: Path) -> None:
    script = write(
        tmp_path / "tool", '#!/bin/sh\necho "RESULT $1|$2"\nflowcall sleep 0\nflowcall nonsense || exit $?\n'
    )
    script.chmod(0o755)
    execution = snapctl(platform, "run", "--", script, "a b", "--flag").strip()
    ended = platform.wait_ended(execution)
    assert platform.results(execution) == ["a b|--flag"]
    assert "exit status 2" in ended.message
    assert any("there is no call 'nonsense'" in line for line in platform.log(execution, "stderr"))


def test_a_command_that_is_not_there_ends_with_the_words_of_the_system(platform: Platform) -> None:
    execution = snapctl(platform, "run", "--", "no-such-program").strip()
    assert platform.wait_ended(execution).message == "no-such-program can't be run: No such file or directory"


def test_a_script_pauses_itself_until_somebody_resumes_it(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            this.pause()
            this.success("resumed")
        """
    )
    platform.wait_status(execution, types_pb2.EXECUTION_STATUS_PAUSED)
    platform.executions.ResumeExecution(pb.ResumeExecutionRequest(execution=execution), timeout=30)
    assert platform.wait_ended(execution).message == "resumed"


def test_success_error_and_cancel_end_inside_a_bare_except(platform: Platform) -> None:
    for call, status in (("success", SUCCESS), ("error", ERROR), ("cancel", CANCELLED)):
        execution = platform.run(
            f"""
            def handler(system, this):
                try:
                    this.{call}("the end")
                except:
                    pass
                finally:
                    print("RESULT went on")
            """
        )
        ended = platform.wait_ended(execution)
        assert (ended.status, ended.message) == (status, "the end")
        assert platform.results(execution) == []


@pytest.mark.parametrize("time", ["0", "'2020-01-01T00:00:00Z'", "datetime.now(UTC) + timedelta(seconds=0.2)"])
def test_a_time_is_slept_until_however_it_is_written(platform: Platform, time: str) -> None:
    execution = platform.run(
        f"""
        from datetime import UTC, datetime, timedelta

        def handler(system, this):
            time = {time}
            this.sleep_until(time)
            this.success(isinstance(time, int | str) or datetime.now(UTC) >= time)
        """
    )
    assert platform.wait_ended(execution).message == "True"


def test_flows_and_executions_are_looked_up_and_listed_by_filters(platform: Platform) -> None:
    version = platform.push("listed-a", "def handler(system, this):\n    this.success('a')\n").version
    platform.push("listed-b", "def handler(system, this):\n    this.success('b')\n")
    execution = platform.run(
        """
        import flow_api

        def handler(system, this):
            wanted = {"field": "name", "op": "like", "value": "listed-%"}
            seen = [flow.get("name") for flow in system.flows(filter=wanted)]
            pinned = system.flow(this.get("input_value"), by="id")
            seen += [pinned.get("name"), this.flow(pinned).get("message")]
            seen += [system.flow("listed-a").exists(), system.flow("absent").exists()]
            mine = {"field": "parent_id", "op": "eq", "value": this.get("id")}
            seen += [child.get("message") for child in system.executions(filter=mine)]
            seen.append(system.execution(this.get("id")).get("status"))
            for action in (lambda: system.execution("absent").get("status"), lambda: this.flow("absent")):
                try:
                    action()
                except flow_api.ResourceNotFoundError:
                    seen.append("not found")
            try:
                list(system.flows(filter={"field": "colour", "op": "eq", "value": 1}))
            except flow_api.InvalidInputError as error:
                seen.append("colour" in str(error))
            this.save(output_value=[*seen, system.get_env_name()])
        """,
        version,
    )
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS, ended.message
    assert platform.output(execution) == [
        *("listed-a", "listed-b", "listed-a", "a", True, False, "a", "RUNNING"),
        *("not found", "not found", True, "default"),
    ]
