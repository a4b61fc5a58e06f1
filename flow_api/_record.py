"""The record of an execution, whichever it is: its fields, and what can be done to it from outside."""

from __future__ import annotations

from flow_api import exceptions
from flow_api._channel import Channel
from flow_api._values import picked

TYPE_CHECKING = False  # the module typing would be in every savepoint
if TYPE_CHECKING:
    from typing import Any, Self


class ReturnWhen:
    """What a wait for executions waits for."""

    #: Until all have succeeded; the first that ends otherwise raises.
    ALL_SUCCEEDED = "ALL_SUCCEEDED"
    #: Until all have ended, however they did.
    ALL_ENDED = "ALL_ENDED"
    #: Until one of them has ended, however it did.
    FIRST_ENDED = "FIRST_ENDED"


class Record:
    """What `this` and every other execution have in common."""

    __slots__ = ("_channel", "_id", "_known", "_pending", "_template")

    def __init__(
        self,
        channel: Channel,
        execution_id: str | None = None,
        known: dict[str, Any] | None = None,
        template: tuple[str, dict[str, Any]] | None = None,
    ) -> None:
        self._channel = channel
        # None: the execution that runs this script, or a template that nobody has saved yet.
        self._id = execution_id
        # Fields that can't change any more, or that the platform told when the execution ended.
        self._known = known or {}
        # What set() keeps for get() and save().
        self._pending: dict[str, Any] = {}
        # The call that makes such an execution, and its arguments.
        self._template = template

    def __repr__(self) -> str:
        if self._id is None:
            return "<template of an execution>" if self._template else "<this execution>"
        return f"<execution {self._known.get('name', self._id)}>"

    def get(self, *names: str) -> Any:
        """One field of the execution, a tuple of several, or a dict of all.

        Fields: id, name, type ("FLOW", "SCRIPT", "TASK"), status, message, input_value, output_value, created_at,
        started_at, ended_at, flow_name, flow_version, parent_id, container_image, branch, load_count, forked_from (a
        dict with the fields of `this.forked_from`, or None). Times are ISO 8601 text. What a wait
        has told of an ended execution is answered without asking again; see load().
        """
        here = {**self._known, **self._pending}
        if names and all(name in here for name in names):
            return picked(here, names)
        return picked({**self._read("get", names), **self._pending}, names)

    def load(self, *names: str) -> Any:
        """As get(), fresh from storage."""
        return picked(self._read("load", names), names)

    def set(self, **fields: Any) -> Self:
        """Keep fields here, for get() and the next save()."""
        self._pending.update(fields)
        return self

    def save(self, **fields: Any) -> Self:
        """Store fields, together with those that set() kept.

        Of this execution: message (the live status line), output_value, name. Of another one: name and message; its
        input_value too as long as it was not started. Of a template (save=False): makes the execution, not started.
        """
        if self._template is not None and self._id is None:
            self._pending.update(fields)
            self._make(run=False, wait=False)
            return self
        self._channel.call("save", {**self._target(), "fields": {**self._pending, **fields}})
        self._known.update({name: value for name, value in fields.items() if name in self._known})
        self._pending = {}
        return self

    def wait(self, return_when: str = ReturnWhen.ALL_SUCCEEDED, timeout: float | None = None) -> Self:
        """Until this child has ended. Raises DependencyFailedError, or a connector's own error, where it failed.

        Raises DependencyTimeoutError after timeout seconds.
        """
        self._other("wait")
        arguments = {"executions": [self._id], "wait": return_when, "timeout": timeout}
        self._known = self._channel.call("wait_for", arguments)[0]
        return self

    def run(self, wait: bool | str = True) -> Self:
        """Start an execution that was made with run=False or save=False, and wait for it as this.flow() does."""
        if self._template is not None and self._id is None:
            self._make(run=True, wait=wait)
        else:
            self._other("run")
            self._known = self._channel.call("run", {"execution": self._id, "wait": wait})
        return self

    def run_async(self) -> Self:
        """Start it, and don't wait."""
        return self.run(wait=False)

    def clone(self, **changes: Any) -> Self:
        """Another one like this template, made with run=False or save=False; not stored yet.

        Changes: name, inputs or input_value, init.
        """
        if self._template is None:
            raise exceptions.InvalidInputError("clone: only what was made with run=False or save=False can be cloned")
        call, arguments = self._template
        return type(self)(self._channel, template=(call, {**arguments, **_initial(changes)}))

    def cancel(self, message: object = None) -> Self:
        """End it with ENDED_CANCELLED, and all that it started. Of this execution itself: never returns."""
        text = None if message is None else str(message)
        self._channel.call("cancel", {**self._target(), "message": text}, ordered=self._id is None)
        return self

    def pause(self) -> Self:
        """Freeze it with all its processes until someone resumes it: `snapctl resume`, or resume() on a child.

        One that is paused stays so. Raises InvalidInputError for one that does not run.
        """
        self._channel.call("pause", self._target(), ordered=self._id is None)
        return self

    def resume(self) -> Self:
        """Let a paused child go on; one that is not paused goes on as it does. Raises InvalidInputError: it ended."""
        self._other("resume")
        self._channel.call("resume", self._target())
        return self

    def savepoints(self) -> list[dict[str, Any]]:
        """Its savepoints, oldest first: dicts of id, number, name, kind, branch, call, file, line, created_at."""
        found: list[dict[str, Any]] = self._channel.call("savepoints", self._target())
        return found

    def _make(self, *, run: bool, wait: bool | str) -> None:
        """Make the execution that the template describes."""
        if self._template is None:
            raise exceptions.InternalError("a template without a call")
        call, arguments = self._template
        arguments = {**arguments, **_initial(self._pending)}
        self._known = self._channel.call(call, {**arguments, "run": run, "wait": wait})
        self._id, self._pending = self._known["id"], {}
        # The inputs of one that runs need not stay in memory, and so in every savepoint.
        self._template = None if run else (call, arguments)

    def _read(self, call: str, names: tuple[str, ...]) -> dict[str, Any]:
        fields: dict[str, Any] = self._channel.call(call, {**self._target(), "fields": list(names)})
        return fields

    def _target(self) -> dict[str, Any]:
        if self._id is None and self._template is not None:
            raise exceptions.InvalidInputError("this is a template only: save() or run() it first")
        return {} if self._id is None else {"execution": self._id}

    def _other(self, method: str) -> None:
        self._target()
        if self._id is None:
            raise exceptions.InvalidInputError(f"{method}: an execution can't do that to itself")

    def _itself(self, method: str) -> None:
        self._target()
        if self._id is not None:
            raise exceptions.InvalidInputError(f"{method}: only the execution {self._id} itself can do that")


def _initial(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a template as arguments of the call that makes it."""
    arguments = dict(fields)
    if "input_value" in arguments:
        arguments["inputs"] = arguments.pop("input_value")
    if unknown := sorted(arguments.keys() - {"name", "inputs", "init"}):
        raise exceptions.ExtraInputError(f"a template has no {unknown[0]!r}; it has name, inputs and init")
    return arguments
