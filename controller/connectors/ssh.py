"""The SSH connector: a script or a command on another machine."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import shlex
from typing import TYPE_CHECKING, Any, ClassVar, Final

from controller.connectors.errors import invalid, refused
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, one_of
from controller.connectors.ssh_session import SESSION, endpoint, ssh_session

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection

MAX_REPORT_CHARACTERS: Final = 8 * 1024 * 1024

_READ_CHARACTERS = 64 * 1024
_TAIL_CHARACTERS = 400
# Linux takes 128 KiB for one argument of a program, and quoting adds to it.
_MAX_SCRIPT_BYTES = 100_000
_OUTPUT_VAR = re.compile(r"^[ \t]*#[ \t]*OUTPUT_VAR\(([A-Za-z_]\w*)\)[ \t]*$", re.MULTILINE)


class SshConnector:
    """Output: retcode, report (what it wrote to both of its outputs), var (an object).

    A line `#OUTPUT_VAR(NAME)` in a script for a shell puts the value that NAME has there into var: it may have any
    characters but NUL, several lines too.
    """

    summary = "A script or a command on a machine with SSH"
    inputs: ClassVar[Inputs] = {
        **SESSION,
        "script": Input((str,), "lines for the interpreter; #OUTPUT_VAR(NAME) hands a shell variable over"),
        "command": Input((str,), "one command line, for the login shell"),
        "interpreter": Input((str,), "the program that gets the script behind -c", default="sh"),
        "environment": Input((dict,), "variables for a script, an object of texts", default={}),
        "expected_retcode": Input((int, list), "an integer or a list; anything else is an error", default=[0]),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"script": None, "command": "true", "expected_retcode": [0]}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [values["host"]]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """A script finds the key in its environment, as IDEMPOTENCY_KEY."""
        import asyncssh

        expected = values["expected_retcode"]
        expected = expected if isinstance(expected, list) else [expected]
        mark = f"--flowsnap-{secrets.token_hex(8)}"
        kind = one_of(values, ("script", "command"))
        line = values["command"] if kind == "command" else _command_line(values, mark, idempotency_key)
        async with ssh_session(values) as session:
            try:
                retcode, output = await _run(session, line, f"{endpoint(values)}: the {kind}")
            except asyncssh.ChannelOpenError as error:
                raise refused(f"{endpoint(values)}: the server opens no session", str(error)) from error
        report, variables = _parted(output, mark)
        if retcode not in expected:
            raise refused(f"{endpoint(values)}: the {kind} ended with {retcode}", _tail(report))
        return {"retcode": retcode, "report": report, "var": variables}


async def _run(session: SSHClientConnection, line: str, what: str) -> tuple[int, str]:
    """Exit status, negative for a signal, and output. Raises ConnectorError when it writes without end."""
    import asyncssh

    process = await session.create_process(
        line, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT, encoding="utf-8", errors="replace"
    )
    async with process:
        parts, size = [], 0
        while part := str(await process.stdout.read(_READ_CHARACTERS)):
            parts.append(part)
            size += len(part)
            if size > MAX_REPORT_CHARACTERS:
                process.terminate()
                raise refused(
                    f"{what} wrote more than {MAX_REPORT_CHARACTERS // 1024**2} MiB; write it to a file there"
                )
        await process.wait_closed()
    if process.returncode is None:
        raise refused(f"{what} ended without an exit status", _tail("".join(parts)))
    return process.returncode, "".join(parts)


def _command_line(values: dict[str, Any], mark: str, idempotency_key: str) -> str:
    script = _OUTPUT_VAR.sub(lambda found: _say(mark, found[1]), values["script"])
    if len(script.encode()) > _MAX_SCRIPT_BYTES:
        raise invalid(f"input script is longer than {_MAX_SCRIPT_BYTES} bytes; upload it with SFTP, and run that file")
    variables = {"IDEMPOTENCY_KEY": idempotency_key}
    for name, value in values["environment"].items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or not isinstance(value, str | int | float):
            raise invalid(f"{name!r} in input environment must be the name of a variable with a text")
        variables[name] = str(value)
    # By env and not by the protocol's requests, which servers only take for names that they list.
    pairs = " ".join(shlex.quote(f"{name}={value}") for name, value in variables.items())
    return f"env {pairs} {values['interpreter']} -c {shlex.quote(script)}"


def _tail(report: str) -> str:
    return report[-_TAIL_CHARACTERS:].strip() or "(no output)"


def _say(mark: str, name: str) -> str:
    """A shell's line that writes a variable out, so that nothing in its value can be taken for the end of it."""
    return f'printf "\\n%s %s %s\\n" {mark} {name} "$(printf %s "${name}" | base64 | tr -d "\\n")"'


def _parted(output: str, mark: str) -> tuple[str, dict[str, str]]:
    """The report without the marked lines, and what those say."""
    variables = {}
    for name, encoded in re.findall(rf"^{mark} (\w+) (\S*)\r?$", output, re.MULTILINE):
        try:
            variables[name] = base64.b64decode(encoded, validate=True).decode("utf-8", "replace")
        except binascii.Error as error:
            raise refused(
                f"the variable {name} came back damaged; is there base64 on that machine?", encoded
            ) from error
    return re.sub(rf"\n{mark} [^\n]*\n?", "", output), variables
