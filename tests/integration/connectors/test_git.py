"""GIT on real repositories."""

from __future__ import annotations

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from connector_servers import SshServer, call, free_port, refusal

from controller.connectors.reach import only_to


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Änne", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A bare one with two commits, the first of them tagged."""
    work, bare = tmp_path / "work", tmp_path / "bare.git"
    work.mkdir()
    git(work, "init", "-q")
    (work / "docs").mkdir()
    (work / "docs" / "größe.md").write_text("eins\n")
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    git(work, "tag", "v1")
    (work / "docs" / "größe.md").write_text("zwei\n")
    (work / "raw").write_bytes(b"\x00\xff")
    git(work, "add", ".")
    git(work, "commit", "-qm", "second\n\nwith a body")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(bare))
    return bare


def names(output: dict[str, Any]) -> dict[str, Any]:
    return {file["name"]: file["content"] for file in output["files"]}


async def test_files_of_a_reference_come_when_they_are_asked_for(repository: Path) -> None:
    url = str(repository)
    first, second = git(repository, "rev-parse", "v1"), git(repository, "rev-parse", "main")
    newest = await call("GIT", repository_url=url, files_path="docs")
    assert (newest["commit_sha"], newest["message"], newest["author"]) == (second, "second\n\nwith a body", "Änne")
    assert names(newest) == {"docs/größe.md": "zwei\n"}
    for reference in ("v1", first, "refs/tags/v1"):
        older = await call("GIT", repository_url=f"file://{url}", reference=reference)
        assert older["commit_sha"] == first
        assert names(older) == {"docs/größe.md": "eins\n", "run.sh": "#!/bin/sh\n"}
    assert names(await call("GIT", repository_url=url, files_path=["raw"], binary=True)) == {"raw": {"base64": "AP8="}}
    assert (await call("GIT", repository_url=url, command="metadata", reference="v1"))["message"] == "first"
    assert (await call("GIT", repository_url=url, command="refs"))["refs"]["refs/heads/main"] == second


async def test_branch_has_the_files_when_they_were_committed(repository: Path) -> None:
    commit = {
        "repository_url": str(repository),
        "command": "commit",
        "files": {"docs/größe.md": None, "run.sh": "#!/bin/sh\nexit\n", "new/a.bin": {"base64": "AP8="}},
        "message": "Änderung",
        "author": "Änne",
    }
    made = await call("GIT", **commit)
    assert (made["changed"], made["message"], made["author"]) == (True, "Änderung", "Änne")
    assert git(repository, "rev-parse", "main") == made["commit_sha"]
    assert git(repository, "ls-tree", "-r", "--name-only", "main").split() == ["new/a.bin", "raw", "run.sh"]
    assert git(repository, "ls-tree", "main", "run.sh").startswith("100755")
    again = await call("GIT", **commit)
    assert (again["changed"], again["commit_sha"]) == (False, made["commit_sha"])


async def test_branch_is_made_when_there_is_none(repository: Path, tmp_path: Path) -> None:
    for url in (repository, tmp_path / "empty.git"):
        if not url.exists():
            git(tmp_path, "init", "-q", "--bare", str(url))
        made = await call(
            "GIT", repository_url=str(url), command="commit", reference="side", files={"a": "1"}, message="m"
        )
        assert git(url, "rev-parse", "side") == made["commit_sha"]
        assert git(url, "ls-tree", "-r", "--name-only", "side") == "a"


async def test_repository_is_read_over_ssh_when_a_key_is_given(repository: Path, sshd: SshServer) -> None:
    where = sshd()
    url = f"ssh://{where['username']}@{where['host']}:{where['port']}{repository}"
    identity = {"key": where["key"], "hostkey": where["hostkey"]}
    assert "run.sh" in names(await call("GIT", repository_url=url, **identity, reference="v1"))
    _, message = await refusal("GIT", repository_url=url, hostkey=where["hostkey"])
    assert "Permission denied" in message


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({"repository_url": "ext::sh -c id"}, "InvalidInputError", "repository_url must be"),
        ({"repository_url": "--upload-pack=id"}, "InvalidInputError", "repository_url must be"),
        ({"repository_url": "/nowhere"}, "ConnectorError", "does not appear to be a git repository"),
        ({"reference": "--all"}, "InvalidInputError", "reference"),
        ({"reference": "none"}, "ConnectorError", "none"),
        ({"files_path": "none"}, "MissingInputError", "there is no none at HEAD"),
        ({"files_path": "raw"}, "InvalidInputError", "not UTF-8"),
        ({"command": "commit"}, "MissingInputError", "files is required"),
        ({"command": "commit", "message": "m", "files": {"../x": ""}}, "InvalidInputError", "'../x'"),
        ({"command": "commit", "message": "m", "files": {".git/config": ""}}, "InvalidInputError", ".git"),
    ],
)
async def test_what_is_wrong_is_named_when_git_refuses(
    repository: Path, inputs: dict[str, Any], kind: str, words: str
) -> None:
    found, message = await refusal("GIT", **{"repository_url": str(repository), **inputs})
    assert (found, words in message) == (kind, True), message


async def test_fetching_is_tried_again_when_nobody_listens() -> None:
    url = f"http://ann:s3cret-pw@127.0.0.1:{free_port()}/x.git"
    _, message = await refusal("GIT", repository_url=url, retries=1, retry_backoff=0)
    assert "(after 2 attempts)" in message
    assert "s3cret-pw" not in message


async def test_repository_is_asked_for_at_the_judged_address_and_no_redirect_is_followed_when_a_flow_leads() -> None:
    asked: list[str] = []

    class Redirecting(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(301)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/elsewhere{self.path}")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with only_to({"server.test": "127.0.0.1"}):
            _, message = await refusal("GIT", repository_url=f"http://server.test:{server.server_port}/x.git")
        server.shutdown()
        thread.join()
    assert "301" in message
    assert asked == ["/x.git/info/refs?service=git-upload-pack"]
