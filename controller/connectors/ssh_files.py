"""The connectors SFTP and SCP: files on a machine with SSH."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from controller.connectors.contents import BINARY, CONTENT, MAX_CONTENT_BYTES, from_bytes, to_bytes, too_large
from controller.connectors.errors import invalid, refused, words
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, needed
from controller.connectors.ssh_session import SESSION, endpoint, ssh_session

_ALL_BITS = 0o7777
_BLOCK_BYTES = 64 * 1024
_PATH = Input((str,), "the file or folder on the server", required=True)


class SftpConnector:
    """Output: content (get), entries (list): objects of name, type, size, modified (Unix time) and mode."""

    summary = "A file on a machine with SSH, by SFTP"
    inputs: ClassVar[Inputs] = {
        **SESSION,
        "action": Input(
            (str,),
            "what to do",
            default="get",
            choices=("get", "put", "list", "delete", "rename", "mkdir", "rmdir"),
        ),
        "path": _PATH,
        "to": Input((str,), "the new path, for rename"),
        "content": CONTENT,
        "binary": BINARY,
        "mode": Input((str,), 'permissions for put and mkdir, octal: "640"'),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"action": "list", "path": "."}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [values["host"]]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """Putting and renaming are the same when they are done twice, so the key goes unused."""
        del idempotency_key
        import asyncssh

        async with ssh_session(values) as session:
            try:
                async with session.start_sftp_client() as client:
                    return await _carry_out(client, values)
            except (asyncssh.SFTPError, asyncssh.ChannelOpenError, OSError) as error:
                raise refused(f"{endpoint(values)}: {values['action']} {values['path']}", words(error)) from error


async def _carry_out(client: Any, values: dict[str, Any]) -> dict[str, Any]:
    import asyncssh

    action, path = values["action"], values["path"]
    attributes = asyncssh.SFTPAttrs() if values["mode"] is None else asyncssh.SFTPAttrs(permissions=_mode(values))
    match action:
        case "get":
            async with client.open(path, "rb") as file:
                content = await file.read(MAX_CONTENT_BYTES + 1)
            return {"content": from_bytes(content, path, binary=values["binary"])}
        case "put":
            content = to_bytes(needed(values, "content", action), "content")
            # Beside it and then renamed: a reader sees the old content or the new one.
            temporary = f"{path}.flowsnap-new"
            async with client.open(temporary, "wb", attributes) as file:
                await file.write(content)
            await _replace(client, temporary, path)
        case "list":
            return {
                "entries": [_entry(name) for name in await client.readdir(path) if name.filename not in {".", ".."}]
            }
        case "delete":
            await client.remove(path)
        case "rename":
            await _replace(client, path, needed(values, "to", action))
        case "mkdir":
            await client.mkdir(path, attributes)
        case _:
            await client.rmdir(path)
    return {}


async def _replace(client: Any, path: str, to: str) -> None:
    """Rename, over what is there; in one step where the server has OpenSSH's extension."""
    import asyncssh

    try:
        await client.posix_rename(path, to)
    except asyncssh.SFTPOpUnsupported:
        if await client.exists(to):
            await client.remove(to)
        await client.rename(path, to)


class ScpConnector:
    """Output: content (download), nothing (upload)."""

    summary = "A file on a machine with SSH, by SCP"
    inputs: ClassVar[Inputs] = {
        **SESSION,
        "action": Input((str,), "what to do", default="download", choices=("download", "upload")),
        "path": _PATH,
        "content": CONTENT,
        "binary": BINARY,
        "mode": Input((str,), 'permissions for upload, octal: "640"'),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"action": "download", "path": "/etc/hosts"}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [values["host"]]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """An upload is the same when it is done twice, so the key goes unused."""
        del idempotency_key
        import asyncssh

        action, path = values["action"], values["path"]
        with tempfile.TemporaryDirectory(prefix="flowsnap-scp-") as folder:
            # The protocol knows files alone. A name of its own, since the server chooses others at will.
            local = Path(folder) / "content"
            async with ssh_session(values) as session:
                try:
                    if action == "upload":
                        local.write_bytes(to_bytes(needed(values, "content", action), "content"))
                        if values["mode"] is not None:
                            local.chmod(_mode(values))
                        await asyncssh.scp(str(local), (session, path), preserve=values["mode"] is not None)
                        return {}
                    await asyncssh.scp((session, path), str(local), progress_handler=_limit, block_size=_BLOCK_BYTES)
                except (asyncssh.Error, OSError) as error:
                    raise refused(f"{endpoint(values)}: {action} {path}", words(error)) from error
            return {"content": from_bytes(local.read_bytes(), path, binary=values["binary"])}


def _limit(source: bytes, target: bytes, done_bytes: int, total_bytes: int) -> None:
    """Asyncssh's progress handler: stops what would fill the controller's disk."""
    del target, done_bytes
    if total_bytes > MAX_CONTENT_BYTES:
        raise too_large(source.decode(errors="replace"))


def _mode(values: dict[str, Any]) -> int:
    try:
        mode = int(values["mode"], 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= _ALL_BITS:
        raise invalid(f"input mode must be octal permissions such as 640, not {values['mode']!r}")
    return mode


def _entry(name: Any) -> dict[str, Any]:
    mode = name.attrs.permissions or 0
    kind = "folder" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "file"
    return {
        "name": name.filename,
        "type": kind,
        "size": name.attrs.size,
        "modified": name.attrs.mtime,
        "mode": f"{stat.S_IMODE(mode):o}",
    }
