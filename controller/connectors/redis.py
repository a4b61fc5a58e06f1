"""The REDIS connector: one command, or several in a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from controller.connectors.contents import in_base64, to_bytes
from controller.connectors.errors import invalid, refused, words
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, login, one_of
from controller.connectors.plain_values import plain
from controller.connectors.reach import address_of

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

# They turn the connection into a stream, which no single answer ends.
_ENDLESS = frozenset({"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC"})


class RedisConnector:
    """Output: result, the answer to the command, or the list of answers to commands.

    Bytes that are no UTF-8 come as {"base64": "..."}, and can be given so.
    """

    summary = "A command on a Redis or Valkey server"
    inputs: ClassVar[Inputs] = {
        "host": Input((str,), "name or address of the server", default="localhost", place=True),
        "port": Input((int,), "TCP port", default=6379, minimum=1, place=True),
        "database": Input((int,), "its number", default=0, minimum=0),
        **login(),
        "tls": Input((bool,), "encrypt the connection", default=False, place=True),
        "verify_ssl": Input((bool,), "check the server's certificate", default=True, place=True),
        "command": Input((str,), "one command: SET"),
        "args": Input((list,), 'its arguments: texts, numbers, {"base64": "..."}', default=[]),
        "commands": Input((list,), 'or several, each a list such as ["SET", "key", 1], carried out in a transaction'),
        **ATTEMPTS,
    }
    probe: ClassVar[dict[str, Any]] = {"command": "PING", "args": [], "commands": None}
    repeatable = False

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [values["host"]]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """A server has no place for the key, so it goes unused."""
        del idempotency_key
        commands = _commands(values)
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import AuthenticationError, ConnectionError, RedisError  # noqa: A004  the library's names

        where = f"{values['host']}:{values['port']}"
        client = Redis(
            host=values["host"],
            port=values["port"],
            db=values["database"],
            username=values["username"],
            password=values["password"],
            socket_timeout=values["timeout"],
            socket_connect_timeout=values["timeout"],
            # The guard makes the attempts that the flow asks for.
            retry=Retry(NoBackoff(), 0),
            **_tls(values),
        )
        address = address_of(values["host"])
        if address != values["host"]:
            client.connection_pool.connection_class = _to_address(client.connection_pool.connection_class, address)
        try:
            async with client:
                try:
                    await client.connection_pool.release(await client.connection_pool.get_connection())
                except AuthenticationError as error:
                    raise refused(f"{where}: logging in", words(error)) from error
                except (ConnectionError, OSError) as error:
                    raise refused(f"{where}: connecting", words(error), transient=True) from error
                if values["commands"] is None:
                    return {"result": _to_json(await client.execute_command(*commands[0]))}
                async with client.pipeline(transaction=True) as pipeline:
                    for command in commands:
                        pipeline.execute_command(*command)
                    return {"result": [_to_json(answer) for answer in await pipeline.execute()]}
        except (RedisError, OSError) as error:
            raise refused(f"{where}: {values['command'] or 'transaction'}", words(error)) from error


def _to_address(connection: type[AbstractConnection], address: str) -> type[AbstractConnection]:
    """Connections to an address, whose certificates are still the host's."""

    class Judged(connection):  # type: ignore[misc,valid-type]
        def _connection_arguments(self) -> dict[str, Any]:
            arguments = {**super()._connection_arguments(), "host": address}
            return {**arguments, "server_hostname": self.host} if "ssl" in arguments else arguments

    return Judged


def _tls(values: dict[str, Any]) -> dict[str, Any]:
    return {"ssl": True, "ssl_cert_reqs": "required" if values["verify_ssl"] else "none"} if values["tls"] else {}


def _commands(values: dict[str, Any]) -> list[list[Any]]:
    several = one_of(values, ("command", "commands")) == "commands"
    given = values["commands"] if several else [[*values["command"].split(), *values["args"]]]
    commands = []
    for command in given:
        if not isinstance(command, list) or not command or not isinstance(command[0], str):
            raise invalid("each of input commands must be a list that begins with the command's name")
        if command[0].upper() in _ENDLESS:
            raise invalid(f"{command[0].upper()} never ends, and a call of a flow has to")
        commands.append([command[0], *(_argument(place, value) for place, value in enumerate(command[1:], 1))])
    if not commands:
        raise invalid("input commands must not be empty")
    return commands


def _argument(place: int, value: Any) -> Any:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return to_bytes(value, f"args, {place}")
    raise invalid(f'argument {place} must be a text, a number or {{"base64": "..."}}')


def _to_json(value: Any) -> Any:
    """As plain, but that bytes are mostly text."""
    match value:
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return in_base64(value)
        case dict():
            return {str(_to_json(key)): _to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [_to_json(item) for item in value]
        case set() | frozenset():
            return sorted((_to_json(item) for item in value), key=str)
    return plain(value)
