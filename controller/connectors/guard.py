"""What all connectors have in common: inputs checked, attempts limited and repeated, secrets kept out of errors."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from controller.connectors.errors import ConnectorError, refused, words
from controller.connectors.inputs import Inputs, checked
from controller.connectors.reach import denied, judge, only_to
from controller.redaction import redact

MAX_BACKOFF_S: Final = 60.0
SHOWN_CHARACTERS: Final = 500

# Libraries have the same limit, and say better at what it was met.
_GRACE_S = 0.5

_log = logging.getLogger(__name__)


class Kind(Protocol):
    """What a connector is made of; a plug-in brings a class like this.

    Its module is imported when the list of types is shown: libraries are imported in run().

    What a flow may use without a connection has besides hosts(values): the names or addresses of the servers that a
    call with these inputs leads to. It raises ConnectorError where there is no saying that, or for reach.denied places.
    """

    #: One line for `snapctl connection types`.
    summary: str
    inputs: Inputs
    #: Inputs for a harmless call, laid over those of a connection that is tested.
    probe: Mapping[str, Any]
    #: Whether a call that took too long may be made again.
    repeatable: bool

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """Values: one for each declared input. Answers output_value, JSON. Raises ConnectorError."""


class Guard:
    """A connector of any kind as the controller uses it."""

    def __init__(self, connector_type: str, kind: Kind) -> None:
        self._type = connector_type
        self._kind = kind
        self._declared = {name: declaration.secret for name, declaration in kind.inputs.items()}

    @property
    def summary(self) -> str:
        return self._kind.summary

    @property
    def inputs(self) -> Inputs:
        return self._kind.inputs

    @property
    def probe(self) -> Mapping[str, Any]:
        return self._kind.probe

    @property
    def places(self) -> Sequence[str]:
        """Names of the inputs that say where a connection leads."""
        return [name for name, declaration in self.inputs.items() if declaration.place]

    def check(self, value: Mapping[str, Any]) -> None:
        """A connection's value. Raises ConnectorError for an input that is wrong or unknown; none has to be there."""
        try:
            checked(self.inputs, value, whole=False)
        except ConnectorError as error:
            raise self._told(error, value, ()) from None

    async def call(
        self, inputs: dict[str, Any], *, idempotency_key: str, secret: Collection[str] = (), led_by_flow: bool = False
    ) -> dict[str, Any]:
        """Secret: names of inputs whose values must not be seen, besides those that the kind declares.

        led_by_flow: no operator chose where the call leads, so it may not be the controller's own host or link.
        Raises ConnectorError, without secrets.
        """
        try:
            return await self._attempts(checked(self.inputs, inputs), idempotency_key, led_by_flow=led_by_flow)
        except ConnectorError as error:
            if led_by_flow and error.error_type == "PermissionDenied":
                error.message += f"; an operator can allow it by a connection: {self._how_to_save(inputs)}"
            raise self._told(error, inputs, secret) from None
        except ModuleNotFoundError as error:
            raise refused(
                f"{self._type}: the Python package {error.name} is not installed where the controller runs; install"
                " it there with pip install 'flowsnap[connectors]'"
            ) from None
        except Exception as error:  # noqa: BLE001  the log of an unforeseen one would show secrets
            trace = self._hidden(traceback.format_exc(), inputs, secret)
            _log.error("connector %s failed: %s", self._type, trace)
            raise self._told(refused("unforeseen failure", words(error)), inputs, secret) from None

    async def _attempts(self, values: dict[str, Any], idempotency_key: str, *, led_by_flow: bool) -> dict[str, Any]:
        timeout_s, retries, attempt = values.get("timeout"), values.get("retries") or 0, 1
        while True:
            try:
                async with asyncio.timeout(None if timeout_s is None else timeout_s + _GRACE_S) as limit:
                    if not led_by_flow:
                        return await self._kind.run(values, idempotency_key=idempotency_key)
                    with only_to(await judge(self._hosts(values))):
                        return await self._kind.run(values, idempotency_key=idempotency_key)
            except TimeoutError as error:
                if not limit.expired():
                    failure = refused("the connection failed", words(error), transient=self._kind.repeatable)
                else:
                    late = f"not done within {timeout_s:g} s; the input timeout allows more"
                    failure = refused(late, transient=self._kind.repeatable)
            except ConnectorError as error:
                failure = error
            if not failure.transient or attempt > retries:
                if attempt > 1:
                    failure.message += f" (after {attempt} attempts)"
                raise failure
            wait_s = values["retry_backoff"] * 2.0 ** min(attempt - 1, 10)
            await asyncio.sleep(min(max(wait_s, failure.after_s), MAX_BACKOFF_S))
            attempt += 1

    def _hosts(self, values: dict[str, Any]) -> Collection[str]:
        hosts: Callable[[dict[str, Any]], Collection[str]] | None = getattr(self._kind, "hosts", None)
        if hosts is None:
            raise denied("a flow can't choose where it leads")
        return hosts(values)

    def _how_to_save(self, inputs: Mapping[str, Any]) -> str:
        given = [name for name in self.places if inputs.get(name) is not None] or self.places[:1]
        return " ".join(["snapctl connection save NAME --type", self._type, *(f"-v {name}=..." for name in given)])

    def _told(self, error: ConnectorError, inputs: Mapping[str, Any], secret: Collection[str]) -> ConnectorError:
        """The error as people may see it."""
        message = f"{self._type}: {self._hidden(error.message, inputs, secret)}"
        if error.detail:
            # Cut afterwards, or half a secret would stay.
            message += f": {self._hidden(error.detail, inputs, secret)[:SHOWN_CHARACTERS].strip()}"
        return ConnectorError(error.error_type, message)

    def _hidden(self, text: str, inputs: Mapping[str, Any], secret: Collection[str]) -> str:
        return redact(text, inputs, {**self._declared, **dict.fromkeys(secret, True)})
