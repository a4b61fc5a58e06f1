"""Connections: named connector configurations that flows use by name, and the calls through them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.errors import FailedPrecondition, FlowsnapError, InvalidArgument, NotFound, PermissionDenied
from controller.model import Connection, Json
from controller.ports import Connector, Database
from controller.redaction import MASK, mask
from controller.secrets import SecretBox
from controller.services import Services
from controller.values import checked_json, checked_name, packed, parsed

_PROBE_KEY = "connection-test"


@dataclass(frozen=True, slots=True)
class Request:
    """What one call of a connector comes to: the connection's value < its secrets < the call's inputs."""

    connector_type: str
    inputs: dict[str, Any]
    secret: frozenset[str] = frozenset()  # names of inputs that the connection keeps as secrets
    led_by_flow: bool = False  # no operator chose where it leads


class Connections:
    """Saved, listed, tested and deleted by operators and flows; used by flows."""

    def __init__(self, services: Services, box: SecretBox) -> None:
        self._services = services
        self._box = box
        self._made: dict[str, Connector] = {}
        # A rotation must not put back what was changed while it ran; and one key file is made, not two.
        self._sealing = asyncio.Lock()

    async def save(
        self,
        name: str,
        connector_type: str,
        value: Json,
        secrets: Json = b"",
        *,
        saved_by: str = "",
        keep: Collection[str] = (),
    ) -> None:
        """Create or replace. Both are JSON objects, or empty; secret fields of the value move to the secrets.

        saved_by: the execution that does so; empty: an operator. keep: names of present secrets that stay as they are.
        Raises InvalidArgument for an unknown type, and for inputs that the type does not know or that don't fit;
        PermissionDenied where an execution would replace what an operator saved.
        """
        checked_name(name, "the connection's name")
        connector = self._connector(connector_type, name)
        plain, hidden = self._object(name, "value", value), self._object(name, "secrets", secrets)
        if keep:
            present = await self._opened(await self._found(name))
            hidden = {key: present[key] for key in keep if key in present and key not in plain} | hidden
        if both := sorted(plain.keys() & hidden.keys()):
            raise InvalidArgument(f"connection {name!r}: {both[0]} is in its value and in its secrets; give it once")
        try:
            connector.check({**plain, **hidden})
        except Exception as error:
            if not hasattr(error, "error_type"):
                raise
            raise InvalidArgument(f"connection {name!r}: {error}") from error
        declared = _declared(connector)
        # Whatever listings would not show in full is not to be read in the database either.
        found = {key: item for key, item in plain.items() if mask({key: item}, declared)[key] != item}
        hidden |= found
        rest = packed({key: item for key, item in plain.items() if key not in found})
        async with self._sealing:
            await self._check_owner(name, saved_by)
            sealed = await self._services.in_file(self._box.seal, packed(hidden), _record(name)) if hidden else b""
            connection = Connection(name, connector_type, rest, sealed, saved_by)
            await self._services.db(Database.save_connection, connection)

    async def list(self) -> Sequence[Connection]:
        """By name; the value with its secrets as people may see them, in secrets their names."""
        return [await self._shown(connection) for connection in await self._services.db(Database.connections)]

    async def show(self, name: str) -> Connection:
        """As list, of one. Raises NotFound."""
        return await self._shown(await self._found(name))

    async def exists(self, name: str) -> bool:
        return await self._services.db(Database.connection, name) is not None

    async def delete(self, name: str, *, by: str = "") -> None:
        """By: the execution that does so; empty: an operator. Raises NotFound, PermissionDenied as save."""
        async with self._sealing:
            await self._check_owner(name, by)
            deleted = await self._services.db(Database.delete_connection, name)
        if not deleted:
            raise _missing(name)

    def types(self) -> Sequence[tuple[str, Connector]]:
        """All connectors, by type. Raises FailedPrecondition for a plug-in that can't be loaded."""
        return [
            (connector_type, self.connector(connector_type)) for connector_type in sorted(self._services.connectors)
        ]

    async def request(self, name: str, connector_type: str, inputs: Mapping[str, Any]) -> Request:
        """What a call comes to. name or connector_type may be empty; with both, they have to agree.

        Raises InvalidArgument, also for inputs that would lead a connection elsewhere, with its secrets; NotFound, and
        what opening the secrets raises.
        """
        if not name:
            if not connector_type:
                raise InvalidArgument("name a connection, or give a connector_type")
            return Request(connector_type, dict(inputs), led_by_flow=True)
        connection = await self._found(name)
        if connector_type and connector_type != connection.connector_type:
            raise InvalidArgument(
                f"the connection {name!r} is of type {connection.connector_type!r}, not {connector_type!r}"
            )
        secrets = await self._opened(connection)
        value = {**parsed(connection.value), **secrets}
        # A plug-in that names no places may have them all the same.
        connector = self.connector(connection.connector_type)
        places = set(connector.places or value)
        if chosen := sorted(name for name in inputs.keys() & places if not _is_harmless(connector, name, inputs[name])):
            raise InvalidArgument(
                f"where the connection {name!r} leads is its own business: leave out {', '.join(chosen)}"
            )
        return Request(
            connection.connector_type, {**value, **inputs}, frozenset(secrets), led_by_flow=bool(connection.saved_by)
        )

    async def call(self, request: Request, idempotency_key: str) -> dict[str, Any]:
        """The connector's output value. Raises NotFound for an unknown type, and what the connector raises."""
        connector = self.connector(request.connector_type)
        return await connector.call(
            request.inputs,
            idempotency_key=idempotency_key,
            secret=request.secret,
            led_by_flow=request.led_by_flow,
        )

    async def test(self, name: str) -> dict[str, Any]:
        """Make a harmless call through a connection. Raises FailedPrecondition with the words of what refused."""
        request = await self.request(name, "", {})
        probe = self.connector(request.connector_type).probe
        try:
            return await self.call(dataclasses.replace(request, inputs={**request.inputs, **probe}), _PROBE_KEY)
        except FlowsnapError:
            raise
        except Exception as error:
            if not hasattr(error, "error_type"):
                raise
            raise FailedPrecondition(f"connection {name!r} does not work: {error}") from error

    async def rotate(self) -> int:
        """Seal all secrets under a new key, and forget the older ones; answers how many connections have secrets.

        Stopped half-way it leaves both keys in the file, and can be repeated.
        """
        in_file, count = self._services.in_file, 0
        async with self._sealing:
            await in_file(self._box.add_key)
            for connection in await self._services.db(Database.connections):
                if connection.secrets:
                    content = await in_file(self._box.open, connection.secrets, _record(connection.name))
                    sealed = await in_file(self._box.seal, content, _record(connection.name))
                    await self._services.db(Database.save_connection, dataclasses.replace(connection, secrets=sealed))
                    count += 1
            await in_file(self._box.drop_old_keys)
        return count

    def connector(self, connector_type: str) -> Connector:
        """Made with its first use: each imports much. Raises NotFound, FailedPrecondition for a broken plug-in."""
        factory = self._services.connectors.get(connector_type)
        if factory is None:
            raise NotFound(
                f"there is no connector type {connector_type!r}; there are"
                f" {', '.join(sorted(self._services.connectors))}"
            )
        if connector_type not in self._made:
            try:
                self._made[connector_type] = factory()
            except Exception as error:
                if not hasattr(error, "error_type"):
                    raise
                raise FailedPrecondition(str(error)) from error
        return self._made[connector_type]

    def _connector(self, connector_type: str, name: str) -> Connector:
        try:
            return self.connector(connector_type)
        except NotFound as error:
            raise InvalidArgument(f"connection {name!r}: {error}") from error

    def _object(self, name: str, what: str, given: Json) -> dict[str, Any]:
        content = given or b"{}"
        checked_json(content, f"the {what} of connection {name!r}", self._services.config.max_value_bytes)
        found = parsed(content)
        if not isinstance(found, dict):
            raise InvalidArgument(f"connection {name!r}: its {what} is no JSON object")
        return found

    async def _check_owner(self, name: str, by: str) -> None:
        if not by:
            return
        present = await self._services.db(Database.connection, name)
        if present is not None and not present.saved_by:
            raise PermissionDenied(
                f"connection {name!r} is an operator's, and flows can't change it; take another name, or change it with"
                " `snapctl connection save`"
            )

    async def _found(self, name: str) -> Connection:
        connection = await self._services.db(Database.connection, name)
        if connection is None:
            raise _missing(name)
        return connection

    async def _opened(self, connection: Connection) -> dict[str, Any]:
        if not connection.secrets:
            return {}
        opened: dict[str, Any] = parsed(
            await self._services.in_file(self._box.open, connection.secrets, _record(connection.name))
        )
        return opened

    async def _shown(self, connection: Connection) -> Connection:
        try:
            names = await self._opened(connection)
        except FailedPrecondition:
            # Without their key the list has to show the connections that need to be saved again, all the same.
            names = {"?": MASK}
        return dataclasses.replace(connection, secrets=packed(dict.fromkeys(sorted(names), MASK)))


def _is_harmless(connector: Connector, name: str, given: object) -> bool:
    declaration = connector.inputs.get(name)
    return declaration is not None and any(given is value for value in declaration.harmless)


def _declared(connector: Connector) -> dict[str, bool]:
    return {name: declaration.secret for name, declaration in connector.inputs.items()}


def _record(name: str) -> str:
    return f"connection {name!r}"


def _missing(name: str) -> NotFound:
    return NotFound(
        f"there is no connection {name!r}; see `snapctl connection ls`, or make it with `snapctl connection save`"
    )
