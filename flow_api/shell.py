"""Any other program as an execution: it is run in the flow's tree, and calls the Flow-API by the command flowcall.

Both ends talk over a unix socket in the execution's scratch files, so the talk is in every savepoint, too.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import threading

from flow_api import exceptions
from flow_api._channel import speaking_from
from flow_api._execution import Execution
from flow_api._system import System

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

#: Where flowcall finds the flow.
SOCKET_VARIABLE = "FLOWCALL_SOCKET"
_SOCKET = "/flow/.flowcall.sock"


def run(system: System, this: Execution, command: Sequence[str]) -> NoReturn:
    """Run a command and end the execution as it ends: exit status 0 is success."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(_SOCKET)
    server.listen()
    threading.Thread(target=_accept, args=(server, system, this), daemon=True).start()
    try:
        process = subprocess.Popen(command, env={**os.environ, SOCKET_VARIABLE: _SOCKET})
    except OSError as error:
        this.error(f"{command[0]} can't be run: {error.strerror}")
    status = process.wait()
    if status == 0:
        this.success()
    how = f"exit status {status}" if status > 0 else f"signal {-status}"
    this.error(f"{shlex.join(command)} ended with {how}; its output is in the log")


def _accept(server: socket.socket, system: System, this: Execution) -> None:
    while True:
        connection, _ = server.accept()
        # A thread each: the script may have several calls under way.
        threading.Thread(target=_serve, args=(connection, system, this), daemon=True).start()


def _serve(connection: socket.socket, system: System, this: Execution) -> None:
    """One call: a line of JSON in, one out. A caller that has gone needs no answer."""
    try:
        with connection, connection.makefile("rwb") as stream:
            request = json.loads(stream.readline())
            stream.write(json.dumps(_answer(request, system, this)).encode() + b"\n")
    except (OSError, ValueError):
        return


def _answer(request: dict[str, Any], system: System, this: Execution) -> dict[str, Any]:
    """{"text": what to print} or {"error": why not}; "status" is the caller's exit status."""
    name, *words = request["words"] or [""]
    speaking_from(request["file"], request["line"], f"flowcall {name}")
    call = _CALLS.get(name)
    if call is None:
        return {"error": f"there is no call {name!r}; there are {', '.join(_CALLS)}", "status": 2}
    try:
        answer = call(system, this, *words)
    except TypeError as error:
        return {"error": f"{name}: {error}".replace("<lambda>() ", "").replace("_", "-"), "status": 2}
    except exceptions.FlowsnapException as error:
        return {"error": f"{type(error).__name__}: {error}", "status": 1}
    if answer is False:
        return {"status": 1}
    return {"text": answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False), "status": 0}


def _savepoint(_system: System, this: Execution, name: str = "") -> str:
    return this.create_dump(name or None)


def _load(_system: System, this: Execution, name: str) -> None:
    this.load_dump(name, by="name")


def _log(_system: System, this: Execution, *words: str) -> str:
    this.log(" ".join(words))
    return ""


def _status(_system: System, this: Execution, *words: str) -> str:
    this.save(message=" ".join(words))
    return ""


def _get(_system: System, this: Execution, field: str) -> Any:
    return this.get(field)


def _set_output(_system: System, this: Execution, key: str, value: str) -> str:
    this.set_output(key, _value(value))
    return ""


def _sleep(_system: System, this: Execution, seconds: str) -> str:
    this.sleep(_value(seconds))
    return ""


def _setting(system: System, _this: Execution, name: str, *value: str) -> Any:
    if not value:
        return system.setting(name).get("value")
    system.setting(name).save(_value(" ".join(value)))
    return ""


def _restored(_system: System, this: Execution) -> Any:
    return False if this.restored is None else this.restored.times


def _success(_system: System, this: Execution, *words: str) -> NoReturn:
    this.success(" ".join(words) or None)


def _error(_system: System, this: Execution, *words: str) -> NoReturn:
    this.error(" ".join(words) or None)


def _value(text: str) -> Any:
    """JSON where it parses as that, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


_CALLS: dict[str, Callable[..., Any]] = {
    "savepoint": _savepoint,
    "load": _load,
    "restored": _restored,
    "log": _log,
    "status": _status,
    "get": _get,
    "set-output": _set_output,
    "setting": _setting,
    "sleep": _sleep,
    "success": _success,
    "error": _error,
}
