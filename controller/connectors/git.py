"""The GIT connector: files of a repository read and committed, without a working tree."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from controller.connectors.contents import BINARY, MAX_CONTENT_BYTES, from_bytes, to_bytes, too_large
from controller.connectors.errors import invalid, missing, refused
from controller.connectors.git_command import Git, GitFailed, Login, Place
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, login, needed
from controller.connectors.reach import address_of, denied, led_by_flow

# What git check-ref-format allows, and what can't be taken for an option.
_REFERENCE = re.compile(r"(?!-)(?!.*(?:\.\.|@\{|//))[^\s~^:?*\[\\\x00-\x20\x7f]+")
_URL = re.compile(r"(?:https?|ssh|git|file)://\S+|[\w.-]+@[\w.-]+:\S+|/\S.*")
# Stricter than _URL: what every reader of it takes for the same host.
_REMOTE = re.compile(
    r"(?P<scheme>https?|ssh|git)://(?:[^\s/@?#\\\[\]]+@)?(?P<host>[\w.-]+|\[[\da-f:.]+\])(?::(?P<port>\d+))?(?:/\S*)?",
    re.ASCII | re.IGNORECASE,
)
_SCP_LIKE = re.compile(r"[\w.-]+@(?P<host>[\w.-]+):\S+", re.ASCII)
_PORTS = {"http": 80, "https": 443, "ssh": 22, "git": 9418}
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NOTHING = "0" * 40
_HEAD = "HEAD"
_BASE = "FETCH_HEAD"


class GitConnector:
    """Output of all but refs: commit_sha, message, author, author_email, committed_at (ISO 8601).

    get adds files: objects of name, content and mode; commit adds changed, false where the files were so already;
    refs gives refs, an object of commits by name.
    """

    summary = "Files of a git repository, read or committed"
    inputs: ClassVar[Inputs] = {
        "repository_url": Input(
            (str,),
            "https://, ssh://, git:// or file:// address, or a path of the controller",
            required=True,
            place=True,
        ),
        "command": Input((str,), "what to do", default="get", choices=("get", "metadata", "commit", "refs")),
        "reference": Input((str,), "branch, tag or commit; for commit the branch", default=_HEAD),
        "files_path": Input((str, list), "get gives this file or folder, or these; otherwise all files"),
        "binary": BINARY,
        "files": Input(
            (dict,), 'for commit: an object of contents by path, each a text, {"base64": "..."}, or null to delete it'
        ),
        "message": Input((str,), "for commit: why"),
        "author": Input((str,), "for commit", default="flowsnap"),
        "author_email": Input((str,), "for commit", default="flowsnap@localhost"),
        **login(password="password or access token, for https"),  # noqa: S106  a help text
        "key": Input((str,), "private key for ssh: the text of its file", secret=True),
        "hostkey": Input(
            (str,), "public key that the ssh server has; else those that the controller's user knows", place=True
        ),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"command": "refs"}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [_server(values["repository_url"])[1]]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """A commit that is made again finds its files there already, so the key goes unused."""
        del idempotency_key
        url, reference = values["repository_url"], values["reference"]
        if not _URL.fullmatch(url):
            raise invalid("input repository_url must be an https://, ssh://, git:// or file:// address, or a path")
        if not _REFERENCE.fullmatch(reference):
            raise invalid(f"input reference must be the name of a branch, a tag or a commit, not {reference!r}")
        identity = Login(values["username"], values["password"], values["key"], values["hostkey"])
        with tempfile.TemporaryDirectory(prefix="flowsnap-git-") as folder:
            place = None
            if led_by_flow():
                scheme, host, port = _server(url)
                place = Place(host, port, address_of(host))
                if scheme == "git" and place.address != host:
                    # It has no other way to be told an address.
                    bracketed = f"[{place.address}]" if ":" in place.address else place.address
                    url = re.sub(rf"(?<=[/@]){re.escape(host)}", bracketed, url, count=1)
            git = Git(Path(folder), identity, place)
            try:
                return await self._carry_out(git, url, values)
            except GitFailed as error:
                raise refused(
                    f"{url}: {values['command']} {reference}", str(error), transient=error.unreached
                ) from error

    async def _carry_out(self, git: Git, url: str, values: dict[str, Any]) -> dict[str, Any]:
        command = values["command"]
        if command == "refs":
            lines = (await git("ls-remote", "--", url)).decode("utf-8", "replace").splitlines()
            return {"refs": {name: commit for commit, _, name in (line.partition("\t") for line in lines)}}
        await git("init", "--quiet", "--bare")
        if command == "commit":
            changed = await _commit(git, url, values)
            return {**await _metadata(git, _HEAD_REF), "changed": changed}
        await git("fetch", "--quiet", "--no-tags", "--depth=1", "--", url, values["reference"])
        found = await _metadata(git, _BASE)
        return found if command == "metadata" else {**found, "files": await _files(git, values)}


def _server(url: str) -> tuple[str, str, int]:
    """Protocol, host and port. Raises ConnectorError, for repositories of the controller's host too."""
    if url.startswith(("/", "file:")):
        raise denied("a flow can't choose a repository of the controller's host")
    if found := _REMOTE.fullmatch(url):
        scheme = found["scheme"].lower()
        return scheme, found["host"], int(found["port"] or _PORTS[scheme])
    if found := _SCP_LIKE.fullmatch(url):
        return "ssh", found["host"], _PORTS["ssh"]
    raise invalid("input repository_url must be an https://, ssh:// or git:// address")


_HEAD_REF = "refs/heads/made"


async def _metadata(git: Git, commit: str) -> dict[str, Any]:
    text = (await git("show", "--no-patch", "--format=%H%n%an%n%ae%n%cI%n%B", commit)).decode("utf-8", "replace")
    sha, author, author_email, committed_at, message = text.split("\n", 4)
    return {
        "commit_sha": sha,
        "message": message.strip(),
        "author": author,
        "author_email": author_email,
        "committed_at": committed_at,
    }


async def _files(git: Git, values: dict[str, Any]) -> list[dict[str, Any]]:
    given = values["files_path"]
    paths = [] if given is None else given if isinstance(given, list) else [given]
    paths = [str(path).strip("/") for path in paths if str(path).strip("/")]
    listing = await git("--literal-pathspecs", "ls-tree", "-r", "-l", "-z", "--full-tree", _BASE, "--", *paths)
    files, size_bytes = [], 0
    for entry in listing.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        head, _, name = entry.partition("\t")
        mode, kind, blob, size = head.split()
        if kind != "blob":
            # A submodule: its files are another repository's.
            continue
        size_bytes += int(size)
        if size_bytes > MAX_CONTENT_BYTES:
            raise too_large("what files_path names")
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        content = from_bytes(await git("cat-file", "blob", blob), shown, binary=values["binary"])
        files.append({"name": shown, "content": content, "mode": mode})
    if paths and not files:
        raise missing(f"there is no {' or '.join(paths)} at {values['reference']}")
    return files


async def _commit(git: Git, url: str, values: dict[str, Any]) -> bool:
    """Put a commit on top of the branch and push it; False where its files are there already."""
    files, message = needed(values, "files", "commit"), needed(values, "message", "commit")
    branch = await _branch(git, url, values["reference"])
    parent: list[str] = []
    heads = await git("ls-remote", "--heads", "--", url, f"refs/heads/{branch}")
    if heads:
        await git("fetch", "--quiet", "--no-tags", "--depth=1", "--", url, f"refs/heads/{branch}")
        parent = ["-p", (await git("rev-parse", _BASE)).decode().strip()]
        await git("read-tree", _BASE)
    for name, content in files.items():
        path = _checked_path(name)
        if content is None:
            # Mode 0 deletes; the option for it wants a working tree.
            await git("update-index", "-z", "--index-info", given=f"0 {_NOTHING}\t{path}\0".encode())
        else:
            blob = await git("hash-object", "-w", "--stdin", given=to_bytes(content, f"files, {name}"))
            mode = await _mode(git, path)
            await git("update-index", "--add", "--cacheinfo", f"{mode},{blob.decode().strip()},{path}")
    tree = (await git("write-tree")).decode().strip()
    if parent and tree == (await git("rev-parse", f"{_BASE}^{{tree}}")).decode().strip():
        await git("update-ref", _HEAD_REF, parent[1])
        return False
    git.author = (values["author"], values["author_email"])
    made = (await git("commit-tree", tree, *parent, given=message.encode())).decode().strip()
    await git("update-ref", _HEAD_REF, made)
    await git("push", "--quiet", "--", url, f"{made}:refs/heads/{branch}")
    return True


async def _branch(git: Git, url: str, reference: str) -> str:
    """The branch to commit to: the one that was named, or the one that HEAD stands for."""
    if _COMMIT.fullmatch(reference):
        raise invalid("input reference must be a branch for commit, not a commit")
    if reference != _HEAD:
        return reference.removeprefix("refs/heads/")
    said = (await git("ls-remote", "--symref", "--", url, _HEAD)).decode("utf-8", "replace")
    found = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", said, re.MULTILINE)
    return found[1] if found else "main"


async def _mode(git: Git, path: str) -> str:
    """The file's mode as it is in the branch: a program stays one."""
    listed = (await git("--literal-pathspecs", "ls-files", "--stage", "--", path)).decode("utf-8", "replace")
    mode = listed.partition(" ")[0]
    return mode if mode in {"100644", "100755"} else "100644"


def _checked_path(name: str) -> str:
    path = name.strip("/")
    if not path or any(part in {"", ".", ".."} or part.lower() == ".git" for part in path.split("/")) or "\0" in path:
        raise invalid(f"{name!r} in input files must be the path of a file within the repository")
    return path
