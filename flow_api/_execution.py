"""`this`: the running execution."""

from __future__ import annotations

from flow_api._channel import Channel

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any, NoReturn


class Restored:
    """How the execution came to where it is. Not part of the restored state: it tells a first pass from a later one."""

    __slots__ = ("name", "savepoint", "savepoint_id", "times", "why")

    def __init__(self, record: dict[str, Any]) -> None:
        #: How often this execution was restored.
        self.times: int = record["times"]
        #: Number, id and name of the savepoint it came from the last time.
        self.savepoint: int = record["savepoint"]
        self.savepoint_id: str = record["savepoint_id"]
        self.name: str = record["name"]
        #: "operator", "script", "undo" or "recovery".
        self.why: str = record["why"]

    def __repr__(self) -> str:
        return f"<restored {self.times} times, from savepoint {self.savepoint} {self.name!r}, by {self.why}>"


class ConnectorCall:
    """What this.connect() answers: the finished call of a connector."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def get(self, *names: str) -> Any:
        """One field, or a tuple of several: "output_value", "status", "name"."""
        return _pick(self._fields, names)


class Execution:
    """The execution that runs this script. Every method makes an implicit savepoint before it is carried out."""

    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def restored(self) -> Restored | None:
        """None on the first pass."""
        record = self._channel.restored
        return None if record is None else Restored(record)

    def success(self, message: object = None) -> NoReturn:
        """End the execution with ENDED_SUCCESS. Never returns, also inside a bare `except:`."""
        self._end("success", message)

    def error(self, message: object = None) -> NoReturn:
        """End the execution with ENDED_ERROR. Never returns, also inside a bare `except:`."""
        self._end("error", message)

    def _end(self, name: str, message: object) -> NoReturn:
        while True:  # there is no reply: the process tree ends inside the call
            self._channel.call(name, {"message": None if message is None else str(message)}, ordered=True)

    def log(self, *args: object, **kwargs: object) -> None:
        """A structured entry: shown live, and kept under output_value["logging"]."""
        self._channel.call(
            "log",
            {
                "args": [_plain(value) for value in args],
                "kwargs": {name: _plain(value) for name, value in kwargs.items()},
            },
        )

    def get(self, *names: str) -> Any:
        """One field of the execution, or a tuple of several.

        Fields: id, name, type, status, message, input_value, output_value, created_at, started_at, ended_at, flow_name.
        """
        return _pick(self._channel.call("get", {"fields": list(names)}), names)

    def save(self, **fields: Any) -> Execution:
        """Store fields: message (the live status line), output_value, name."""
        self._channel.call("save", {"fields": fields})
        return self

    def set_output(self, key: str | None = None, value: Any = None, /, **items: Any) -> Execution:
        """One key of output_value, or several: set_output("k", 1), set_output(k=1)."""
        if key is not None:
            items = {key: value, **items}
        self._channel.call("set_output", {"items": items})
        return self

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._channel.call("sleep", {"seconds": seconds})

    def create_dump(self, name: str | None = None) -> str:
        """An explicit savepoint; answers its id. A name that is used twice means the newest."""
        return str(self._channel.call("create_dump", {"name": name}, ordered=True))

    def save_dump(self, name: str | None = None) -> str:
        """Another spelling of create_dump."""
        return self.create_dump(name)

    def load_dump(self, savepoint: int | str, by: str = "id", max_times: int | None = None) -> NoReturn:
        """Go back: the execution continues from that savepoint.

        by "id" takes the number within the execution or a savepoint's id; by "name" the newest of that name. Past
        max_times loads of that savepoint SavepointLoopError is raised.
        """
        while True:  # there is no reply either, unless it is an error
            self._channel.call("load_dump", {"selector": savepoint, "by": by, "max_times": max_times}, ordered=True)

    def connect(
        self,
        connection: str | None = None,
        *,
        connector_type: str | None = None,
        name: str | None = None,
        **inputs: Any,
    ) -> ConnectorCall:
        """Run a connector: a named connection, or a connector_type with all its inputs.

        The connection's value is overlaid with the inputs. A keyword that Python reserves takes an underscore behind:
        `from_=`. The result is in .get("output_value").
        """
        inputs = {key.removesuffix("_"): value for key, value in inputs.items()}
        arguments = {"connection": connection, "connector_type": connector_type, "name": name, "inputs": inputs}
        return ConnectorCall(self._channel.call("connect", arguments))


def _pick(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    if not names:
        return fields
    if len(names) == 1:
        return fields[names[0]]
    return tuple(fields[name] for name in names)


def _plain(value: object) -> object:
    """A value as JSON can hold it; anything else as its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else repr(value)  # inf and nan are not JSON
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)
