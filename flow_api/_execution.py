"""`this`: the running execution, and the executions that it starts."""

from __future__ import annotations

from flow_api import exceptions
from flow_api._record import Record, ReturnWhen
from flow_api._restored import ForkedFrom, Restored
from flow_api._values import plain

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any, NoReturn


class Execution(Record):
    """An execution: `this` is the one that runs the script, all others are its children or were looked up.

    Every method that asks something of the platform makes an implicit savepoint before it is carried out.
    """

    __slots__ = ()

    @property
    def restored(self) -> Restored | None:
        """None on the first pass."""
        record = self._channel.restored
        return None if record is None else Restored(record)

    @property
    def forked_from(self) -> ForkedFrom | None:
        """Where this fork comes from; None for an execution that was started.

        In a fork, before the call returns at which it was made, the generators of random numbers are seeded anew: those
        of the modules random and numpy.random, and OpenSSL's, where they are loaded; the kernel's (os.urandom, secrets,
        uuid) differ anyway. Generators that the script made (random.Random, numpy's default_rng) and those of other
        libraries go on as they were: seed them anew where it matters. Whatever runs beside the call draws the
        original's numbers until then, as does a fork of a savepoint that was taken at no call until its next one.
        """
        record = (self._channel.restored or {}).get("forked_from")
        return None if record is None else ForkedFrom(record)

    def success(self, message: object = None) -> NoReturn:
        """End the execution with ENDED_SUCCESS. Never returns, also inside a bare `except:`."""
        self._end("success", message)

    def error(self, message: object = None) -> NoReturn:
        """End the execution with ENDED_ERROR. Never returns, also inside a bare `except:`."""
        self._end("error", message)

    def _end(self, name: str, message: object) -> NoReturn:
        self._itself(name)
        while True:  # there is no reply: the process tree ends inside the call
            self._channel.call(name, {"message": None if message is None else str(message)}, ordered=True)

    def log(self, *args: object, **kwargs: object) -> None:
        """A structured entry: shown live, and kept under output_value["logging"]."""
        self._itself("log")
        entry = {
            "args": [plain(value) for value in args],
            "kwargs": {name: plain(value) for name, value in kwargs.items()},
        }
        self._channel.call("log", entry)

    def set_output(self, key: str | None = None, value: Any = None, /, **items: Any) -> Execution:
        """One key of output_value, or several: set_output("k", 1), set_output(k=1)."""
        self._itself("set_output")
        if key is not None:
            items = {key: value, **items}
        self._channel.call("set_output", {"items": items})
        return self

    def retry(self, retries: int, savepoint: str = "latest", backoff: float = 0) -> None:
        """From now on an error is an end only after so many retries, each backoff seconds after its error.

        A retry loads the newest savepoint, or the newest of that name; its call is carried out again. Retries that were
        made count, also against a rule that is set later.
        """
        self._itself("retry")
        self._channel.call("retry", {"retries": retries, "savepoint": savepoint, "backoff": backoff})

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._itself("sleep")
        self._channel.call("sleep", {"seconds": seconds})

    def sleep_until(self, time: float | str | datetime) -> None:
        """Wait until a time: seconds since 1970, a datetime or ISO 8601 text; without a zone it is in UTC.

        A time that has passed is not waited for.
        """
        self._itself("sleep_until")
        given = time if isinstance(time, int | float | str) else time.isoformat()
        self._channel.call("sleep_until", {"time": given})

    def create_dump(self, name: str | None = None) -> str:
        """An explicit savepoint; answers its id. A name that is used twice means the newest.

        Of a child: takes a savepoint at whatever instant it is in.
        """
        if self._id is not None:
            return str(self._channel.call("take_savepoint", {"execution": self._id, "name": name}))
        self._itself("create_dump")
        return str(self._channel.call("create_dump", {"name": name}, ordered=True))

    def save_dump(self, name: str | None = None) -> str:
        """Another spelling of create_dump."""
        return self.create_dump(name)

    def load_dump(self, savepoint: int | str, by: str = "id", max_times: int | None = None) -> None:
        """Go back: the execution continues from that savepoint. Never returns, unless a child is loaded.

        by "id" takes the number within the execution or a savepoint's id; by "name" the newest of that name. Past
        max_times loads of that savepoint SavepointLoopError is raised.
        """
        if self._id is not None:
            self._known = {}
            self._channel.call("load_savepoint", {"execution": self._id, "selector": savepoint, "by": by})
            return
        self._itself("load_dump")
        while True:  # there is no reply either, unless it is an error
            self._channel.call("load_dump", {"selector": savepoint, "by": by, "max_times": max_times}, ordered=True)

    def flow(
        self,
        flow: Any,
        /,
        inputs: Any = None,
        *,
        input_value: Any = None,
        name: str | None = None,
        run: bool = True,
        wait: bool | str = True,
        save: bool = True,
        init: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Execution:
        """Start a pushed flow (its name, or what system.flow() answers) as a child; answers the child.

        The child's result is in .get("output_value").

        Keywords that this method does not know are merged into the input. run=False: made, and started by run() or
        run_async(). wait=False: not waited for; wait=system.return_when.ALL_ENDED: waited for without raising.
        save=False: a template, which clone() copies and run() starts. init: name, container_image,
        memory_limit_bytes, pids_limit.

        Raises DependencyFailedError with the child's message, ResourceNotFoundError for an unknown flow, and
        InvalidInputError where flows are nested too deep.
        """
        target = {"flow": {"name": flow} if isinstance(flow, str) else flow.target}
        return self._child("flow", target, _merged("flow", inputs, input_value, kwargs), name, run, wait, save, init)

    def script(
        self,
        script: str,
        /,
        inputs: Any = None,
        *,
        input_value: Any = None,
        name: str | None = None,
        run: bool = True,
        wait: bool | str = True,
        save: bool = True,
        init: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Execution:
        """As flow(), for a script that is handed over as text, with a handler of its own."""
        merged = _merged("script", inputs, input_value, kwargs)
        return self._child("script", {"script": script}, merged, name, run, wait, save, init)

    def connect(
        self,
        connection: Any = None,
        *,
        connector_type: str | None = None,
        name: str | None = None,
        run: bool = True,
        wait: bool | str = True,
        save: bool = True,
        init: dict[str, Any] | None = None,
        **inputs: Any,
    ) -> Execution:
        """Run a connector: a named connection, or a connector_type with all its inputs; a child of type TASK.

        The connection's value is overlaid with its secrets, and both with the inputs. A keyword that Python reserves
        takes an underscore behind: `from_=`. The result is in .get("output_value"). What the connector refuses is
        raised by its own class (ConnectorError, MissingInputError, ...). run, wait, save and init are as in flow().
        """
        named = connection if connection is None or isinstance(connection, str) else str(connection.name)
        target = {"connection": named, "connector_type": connector_type}
        return self._child("connect", target, _unreserved(inputs), name, run, wait, save, init)

    def task(
        self,
        connector_type: str,
        *,
        name: str | None = None,
        run: bool = True,
        wait: bool | str = True,
        save: bool = True,
        init: dict[str, Any] | None = None,
        **inputs: Any,
    ) -> Execution:
        """As connect(connector_type=...)."""
        target = {"connector_type": connector_type}
        return self._child("task", target, _unreserved(inputs), name, run, wait, save, init)

    def wait_for(
        self, *executions: Any, return_when: str = ReturnWhen.ALL_SUCCEEDED, timeout: float | None = None
    ) -> list[Execution]:
        """Until executions, or lists of them, have ended; answers those that have.

        ALL_SUCCEEDED raises DependencyFailedError (a connector's own error) at the first that ends otherwise.
        ALL_ENDED and FIRST_ENDED don't raise. Raises DependencyTimeoutError after timeout seconds.
        """
        self._itself("wait_for")
        awaited: list[Execution] = []
        for one in executions:
            awaited += [one] if isinstance(one, Execution) else one
        if not all(isinstance(one, Execution) for one in awaited):
            raise exceptions.InvalidInputError("wait_for: give executions, or lists of them")
        arguments = {"executions": [one.get("id") for one in awaited], "wait": return_when, "timeout": timeout}
        for one, known in zip(awaited, self._channel.call("wait_for", arguments), strict=True):
            one._known = known  # noqa: SLF001 - an Execution, too
        return [one for one in awaited if "ended_at" in one._known]  # noqa: SLF001

    def _child(
        self,
        call: str,
        target: dict[str, Any],
        inputs: Any,
        name: str | None,
        run: bool,
        wait: bool | str,
        save: bool,
        init: dict[str, Any] | None,
    ) -> Execution:
        self._itself(call)
        child = Execution(self._channel, template=(call, {**target, "inputs": inputs, "name": name, "init": init}))
        if save:
            child._make(run=run, wait=wait)
        return child


def _merged(call: str, inputs: Any, input_value: Any, extra: dict[str, Any]) -> Any:
    """The child's input: one of the two spellings, with the extra keywords laid over it."""
    given = input_value if inputs is None else inputs
    if not extra:
        return given
    if given is not None and not isinstance(given, dict):
        raise exceptions.InvalidInputError(f"{call}: keywords can be merged into an input only where that is a dict")
    return {**(given or {}), **extra}


def _unreserved(inputs: dict[str, Any]) -> dict[str, Any]:
    """Without the underscore behind names that Python reserves: `from_` is `from`."""
    return {key.removesuffix("_"): value for key, value in inputs.items()}
