#!/usr/bin/python3 -IS
"""flowcall: a call of the Flow-API from a shell script that `snapctl run -- COMMAND` runs.

usage: flowcall savepoint [NAME]          an explicit savepoint; prints its id
       flowcall load NAME                 go back to the newest savepoint of that name
       flowcall restored                  how often it was restored; exit status 1 on the first pass
       flowcall log WORD...               a line in the log
       flowcall status WORD...            the live status line
       flowcall get FIELD                 a field of the execution: input_value, id, name, ...
       flowcall set-output KEY VALUE      a key of the output value; - is standard input
       flowcall setting NAME [VALUE]      read a setting, or save it
       flowcall sleep SECONDS
       flowcall success|error [WORD...]   end the execution

Values are JSON where they parse as that, else text. Exit status 1: the call was refused; 2: it was not understood.
"""

# On its own, and started with nothing but what it needs: it is in the savepoint of the call that it makes.
from __future__ import annotations

import json
import os
import socket
import sys


def main() -> int:
    """Answers the exit status."""
    words = sys.argv[1:]
    if not words or words[0] in {"-h", "--help"}:
        print((__doc__ or "").strip())
        return 0 if words else 2
    path = os.environ.get("FLOWCALL_SOCKET")
    if not path:
        print("flowcall: FLOWCALL_SOCKET is not set: run the script with `snapctl run -- COMMAND`", file=sys.stderr)
        return 2
    if words[-1] == "-":
        words[-1] = sys.stdin.read()
    file, line = _caller()
    try:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as stream:
            connection.connect(path)
            stream.write(json.dumps({"words": words, "file": file, "line": line}).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        print(f"flowcall: the flow does not answer on {path}: {error}", file=sys.stderr)
        return 1
    if answer.get("text"):
        print(answer["text"])
    if answer.get("error"):
        print(f"flowcall: {answer['error']}", file=sys.stderr)
    return int(answer["status"])


def _caller() -> tuple[str, int]:
    """The script that called, and the line: bash reads its script from descriptor 255, up to the present command."""
    try:
        script = f"/proc/{os.getppid()}/fd/255"
        with open(f"/proc/{os.getppid()}/fdinfo/255", encoding="ascii") as info:
            position = int(info.readline().split()[1])
        with open(script, "rb") as source:
            return os.readlink(script), source.read(position).count(b"\n")
    except (OSError, ValueError, IndexError):
        return "", 0


if __name__ == "__main__":
    sys.exit(main())
