"""Files: text and bytes, both ways, from flows and from the command line."""

from __future__ import annotations

from pathlib import Path

from command_line import snapctl
from platform_under_test import SUCCESS, Platform


def run_and_get(platform: Platform, script: str) -> list[str]:
    execution = platform.run(script)
    ended = platform.wait_ended(execution)
    assert ended.status == SUCCESS, ended.message
    return platform.results(execution)


def test_text_bytes_base64_and_json_come_back_as_they_were(platform: Platform) -> None:
    results = run_and_get(
        platform,
        """
        import flow_api

        def handler(system, this):
            file = system.file("kinds ü")
            print("RESULT", file.exists())
            file.save("grüß\\n")
            print("RESULT", repr(file.get()), file.get_text_content() == file.get("content"), file.get("size_bytes"))
            file.save(content_bytes=b"\\x00\\xff")
            print("RESULT", file.get("content_bytes"), file.get("content_base64", "name"))
            try:
                file.get("content")
            except flow_api.InvalidInputError as error:
                print("RESULT", error)
            file.save(content_base64="AAE=")
            print("RESULT", file.get_bytes_content())
            file.save({"a": None})
            print("RESULT", file.get())
            file.delete()
            try:
                file.get()
            except flow_api.ResourceNotFoundError as error:
                print("RESULT", error)
        """,
    )
    assert results == [
        "False",
        "'grüß\\n' True 7",
        "b'\\x00\\xff' ('AP8=', 'kinds ü')",
        "file 'kinds ü' is not UTF-8 text (invalid start byte at byte 1); get content_bytes instead",
        "b'\\x00\\x01'",
        '{"a": null}',
        "there is no file 'kinds ü'; save it first",
    ]


def test_ten_megabytes_go_both_ways_and_too_many_are_refused(platform: Platform) -> None:
    results = run_and_get(
        platform,
        """
        import flow_api, os

        def handler(system, this):
            content = os.urandom(10_000_000)
            system.file("large").save(content)
            print("RESULT", system.file("large").get("content_bytes") == content)
            try:
                system.file("large").save(bytes(13_000_000))
            except flow_api.InvalidInputError as error:
                print("RESULT", "limit" in str(error))
        """,
    )
    assert results == ["True", "True"]


def test_a_loop_over_files_with_calls_in_it_is_loaded_in_its_midst(platform: Platform) -> None:
    execution = platform.run(
        """
        def handler(system, this):
            for i in range(103):
                system.file(f"loop-{i:03}").save(str(i))
            total = 0
            for file in system.files(filter={"field": "name", "op": "like", "value": "loop-%"}):
                if file.name == "loop-100":
                    this.create_dump("amidst")
                total += int(file.get())
            print("RESULT", total)
            this.sleep(3600)
        """
    )
    assert platform.wait_results(execution, 1) == ["5253"]
    platform.load(execution, name="amidst")
    assert platform.wait_results(execution, 2) == ["5253", "5253"]
    platform.cancel(execution)


def test_files_are_put_got_listed_and_removed_from_the_command_line(platform: Platform, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10
    (tmp_path / "in").write_bytes(content)
    assert snapctl(platform, "file", "put", "cli file", str(tmp_path / "in")).out == "cli file\n"
    assert snapctl(platform, "file", "get", "cli file", str(tmp_path / "out")).exit_code == 0
    assert (tmp_path / "out").read_bytes() == content
    assert snapctl(platform, "file", "put", "cli text", "-", stdin="from a pipe").exit_code == 0
    assert snapctl(platform, "file", "get", "cli text").out == "from a pipe"
    listed = {one["name"]: one["size_bytes"] for one in snapctl(platform, "file", "ls", "-o", "json").json["files"]}
    assert listed["cli file"] == len(content)
    assert "cli file" in snapctl(platform, "file", "ls").out
    assert snapctl(platform, "file", "rm", "cli file").exit_code == 0
    assert snapctl(platform, "file", "get", "cli file").exit_code == 3
    assert snapctl(platform, "file", "put", "x", str(tmp_path / "absent")).exit_code == 2
