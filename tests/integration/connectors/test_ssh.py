"""SSH, SFTP and SCP on a real OpenSSH server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from connector_servers import SshServer, call, free_port, refusal


async def test_report_retcode_and_variables_come_back_when_a_script_has_run(sshd: SshServer) -> None:
    script = """
        echo out
        echo err >&2
        NAME='ä b
        "c"'
        #OUTPUT_VAR(NAME)
        KEY=$IDEMPOTENCY_KEY-$WORD
        # OUTPUT_VAR(KEY)
        printf end
    """
    output = await call("SSH", **sshd(), script=script, environment={"WORD": "it's"})
    assert output["retcode"] == 0
    assert output["report"].split() == ["out", "err", "end"]
    assert output["var"] == {"NAME": 'ä b\n        "c"', "KEY": "execution-1-7-it's"}


async def test_other_interpreter_runs_the_script_when_it_is_named(sshd: SshServer) -> None:
    output = await call("SSH", **sshd(), script="print(6 * 7)", interpreter="python3")
    assert output["report"] == "42\n"


async def test_end_of_the_report_is_told_when_the_status_is_unexpected(sshd: SshServer) -> None:
    kind, message = await refusal("SSH", **sshd(), command="echo went wrong; exit 3")
    assert kind == "ConnectorError"
    assert "ended with 3: went wrong" in message
    assert (await call("SSH", **sshd(), command="exit 3", expected_retcode=[0, 3]))["retcode"] == 3


async def test_limit_is_named_when_a_command_takes_too_long(sshd: SshServer) -> None:
    assert "within 0.7 s" in (await refusal("SSH", **sshd(), command="sleep 30", timeout=0.7))[1]


async def test_endless_output_is_stopped_when_it_is_too_large(sshd: SshServer) -> None:
    assert "more than 8 MiB" in (await refusal("SSH", **sshd(), command="yes"))[1]


async def test_server_is_refused_when_its_key_is_another(sshd: SshServer) -> None:
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHcVvNIP1zi0nFs4/1WnPrd3A0Y9r+D/ZNy6mFwWVwnc"
    _, message = await refusal("SSH", **{**sshd(), "hostkey": other}, command="true")
    assert "give it as hostkey" in message
    unchecked = {**sshd(), "hostkey": other, "check_host_key": False}
    assert (await call("SSH", **unchecked, command="true"))["retcode"] == 0


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({"command": "true", "script": "true"}, "ExtraInputError", "exclude each other"),
        ({"command": "true", "key": "no key"}, "InvalidInputError", "input key"),
        ({"command": "true", "key": None, "password": "nope-nope"}, "ConnectorError", "logging in"),
        ({"script": "true", "environment": {"a b": "x"}}, "InvalidInputError", "environment"),
    ],
)
async def test_what_is_wrong_is_named_when_it_is_refused(
    sshd: SshServer, inputs: dict[str, Any], kind: str, words: str
) -> None:
    found, message = await refusal("SSH", **{**sshd(), **inputs})
    assert (found, words in message) == (kind, True), message


async def test_connecting_is_tried_again_when_nobody_listens() -> None:
    inputs = {"host": "127.0.0.1", "port": free_port(), "command": "true", "retries": 1, "retry_backoff": 0}
    assert "(after 2 attempts)" in (await refusal("SSH", **inputs))[1]


async def test_files_are_kept_on_the_server_when_sftp_is_asked(sshd: SshServer, tmp_path: Path) -> None:
    async def sftp(action: str, path: Path, **inputs: Any) -> dict[str, Any]:
        return await call("SFTP", **sshd(), action=action, path=str(path), **inputs)

    folder = tmp_path / "für alle"
    await sftp("mkdir", folder)
    await sftp("put", folder / "a.txt", content="grün", mode="640")
    await sftp("put", folder / "a.txt", content={"base64": "AP8="})
    assert await sftp("get", folder / "a.txt", binary=True) == {"content": {"base64": "AP8="}}
    assert "not UTF-8" in (await refusal("SFTP", **sshd(), path=str(folder / "a.txt")))[1]
    await sftp("rename", folder / "a.txt", to=str(folder / "b.txt"))
    entries = (await sftp("list", folder))["entries"]
    assert [(entry["name"], entry["type"], entry["size"]) for entry in entries] == [("b.txt", "file", 2)]
    await sftp("delete", folder / "b.txt")
    await sftp("rmdir", folder)
    assert not folder.exists()
    assert "No such file" in (await refusal("SFTP", **sshd(), path=str(folder / "a.txt")))[1]


async def test_file_goes_there_and_back_when_scp_is_asked(sshd: SshServer, tmp_path: Path) -> None:
    path = str(tmp_path / "copied")
    await call("SCP", **sshd(), action="upload", path=path, content="grün", mode="600")
    assert (tmp_path / "copied").stat().st_mode & 0o777 == 0o600
    assert await call("SCP", **sshd(), path=path) == {"content": "grün"}
    assert "No such file" in (await refusal("SCP", **sshd(), path=f"{path}-not"))[1]
    with (tmp_path / "large").open("wb") as large:
        large.truncate(64 << 20)
    assert "larger than 11 MiB" in (await refusal("SCP", **sshd(), path=str(tmp_path / "large")))[1]
