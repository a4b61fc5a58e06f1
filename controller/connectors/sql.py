"""The connectors of SQL servers: one statement, in a transaction and a session of its own."""

from __future__ import annotations

import abc
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final

from controller.connectors.blocking import in_thread
from controller.connectors.errors import ConnectorError, invalid, refused, words
from controller.connectors.inputs import ATTEMPTS, Input, Inputs, login, one_of
from controller.connectors.plain_values import plain
from controller.connectors.reach import address_of, led_by_flow
from controller.connectors.sql_params import Placeholders, bound, parameter
from controller.connectors.tls import tls_context

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, CursorResult, Engine

MAX_RESULT_BYTES: Final = 16 * 1024 * 1024

_FETCHES = ("fetch", "fetchrow", "fetchval")
_STATEMENTS = (*_FETCHES, "execute", "executemany")
_NO_FILE: Final = "/dev/null/none"
# What PostgreSQL can declare a cursor for, so that rows come in parts and not all into memory.
_STREAMED = ("select", "values", "table")


def _inputs(places: str, port: int, tls: Inputs) -> Inputs:
    return {
        "host": Input(
            (str,), "name or address of the server, or the folder of its socket", default="localhost", place=True
        ),
        "port": Input((int,), "TCP port", default=port, minimum=1, place=True),
        "database": Input((str,), "name of the database"),
        **login(),
        **tls,
        "fetch": Input((str,), "statement; the result is a list of objects"),
        "fetchrow": Input((str,), "statement; the result is the first row, or null"),
        "fetchval": Input((str,), "statement; the result is the first value, or null"),
        "execute": Input((str,), "statement; the result is the number of changed rows"),
        "executemany": Input((str,), "statement, carried out once for each of params"),
        "params": Input((list, dict), f"a list for {places} or an object for :name; for executemany a list of those"),
        **ATTEMPTS,
    }


class _SqlConnector(abc.ABC):
    """Output: result, as the help of the five statements says. A result has at most 16 MiB.

    As a parameter {"base64": "..."} stands for bytes.
    """

    probe: ClassVar[dict[str, Any]] = {"fetchval": "SELECT 1"}
    repeatable = False
    placeholders: ClassVar[Placeholders]

    def hosts(self, values: dict[str, Any]) -> list[str]:
        """The server."""
        return [values["host"]]

    async def run(self, values: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """A database has no place for the key, so it goes unused."""
        del idempotency_key
        action = one_of(values, _STATEMENTS)
        return {"result": await in_thread(self._run, action, values)}

    @abc.abstractmethod
    def address(self) -> URL:
        """The dialect and the driver."""

    @abc.abstractmethod
    def options(self, values: dict[str, Any]) -> dict[str, Any]:
        """What the driver's connect() is given."""

    @abc.abstractmethod
    def streams(self, statement: str) -> bool:
        """Whether the rows of a statement can come in parts."""

    def prepare(self, engine: Engine) -> None:
        """Before its first connection."""
        del engine

    def abandon(self, connection: Connection, found: CursorResult[Any]) -> None:
        """Leave the rest of a result where it is."""
        del connection
        found.close()

    def _run(self, action: str, values: dict[str, Any]) -> Any:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError
        from sqlalchemy.pool import NullPool

        where = f"{values['host']}:{values['port']}/{values['database'] or ''}"
        statement = values[action]
        engine = create_engine(self.address(), poolclass=NullPool, connect_args=self.options(values))
        self.prepare(engine)
        try:
            connection = engine.connect()
        except DBAPIError as error:
            raise refused(f"{where}: connecting", words(error.orig or error), transient=True) from error
        except SQLAlchemyError as error:
            raise refused(f"{where}: connecting", words(error)) from error
        try:
            with connection, connection.begin():
                return self._result(action, connection, statement, values["params"])
        except DBAPIError as error:
            raise refused(f"{where}: {action}", words(error.orig or error)) from error
        except SQLAlchemyError as error:
            raise refused(f"{where}: {action}", words(error)) from error
        finally:
            engine.dispose()

    def _result(self, action: str, connection: Connection, statement: str, params: Any) -> Any:
        if action == "executemany":
            if not isinstance(params, list) or not all(isinstance(row, list | dict) for row in params):
                raise invalid("input params of executemany must be a list of lists or objects")
            return sum(self._execute(connection, statement, row).rowcount for row in params)
        streamed = action == "fetch" and self.streams(statement)
        found = self._execute(connection.execution_options(stream_results=streamed), statement, params)
        if action == "execute":
            return max(found.rowcount, 0)
        if not found.returns_rows:
            raise invalid(f"the statement of {action} gives no rows; use execute")
        if action == "fetch":
            try:
                return list(_rows(found))
            except ConnectorError:
                self.abandon(connection, found)
                raise
        row = found.mappings().first()
        if row is None:
            return None
        values = {name: plain(value) for name, value in row.items()}
        return values if action == "fetchrow" else next(iter(values.values()))

    def _execute(self, connection: Connection, statement: str, params: Any) -> CursorResult[Any]:
        if params is None:
            return connection.exec_driver_sql(statement)
        text, values = bound(statement, params, self.placeholders)
        return connection.exec_driver_sql(text, {name: parameter(name, value) for name, value in values.items()})


def _rows(found: CursorResult[Any]) -> Iterator[dict[str, Any]]:
    size_bytes = 0
    for row in found.mappings():
        values = {name: plain(value) for name, value in row.items()}
        size_bytes += sum(len(name) + (len(value) if isinstance(value, str) else 8) for name, value in values.items())
        if size_bytes > MAX_RESULT_BYTES:
            raise refused(f"the result is larger than {MAX_RESULT_BYTES // 1024**2} MiB; fetch less at once")
        yield values


class PostgresConnector(_SqlConnector):
    """Output: result, as the help of the five statements says. A result has at most 16 MiB."""

    summary = "A statement on a PostgreSQL server"
    inputs: ClassVar[Inputs] = _inputs(
        "$1, $2",
        5432,
        {
            "sslmode": Input(
                (str,),
                "as libpq has it",
                default="prefer",
                choices=("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
                place=True,
            )
        },
    )
    placeholders = Placeholders.DOLLAR

    def address(self) -> URL:
        from sqlalchemy import URL

        return URL.create("postgresql+psycopg")

    def options(self, values: dict[str, Any]) -> dict[str, Any]:
        import psycopg

        # Imported here, so that a missing one is named as such and not wrapped by SQLAlchemy.
        del psycopg
        address = address_of(values["host"])
        return {
            "host": values["host"],
            **({} if address == values["host"] else {"hostaddr": address}),
            # A flow must not log in as the controller's user.
            **({"passfile": _NO_FILE, "sslcert": _NO_FILE} if led_by_flow() else {}),
            "port": values["port"],
            "dbname": values["database"] or "postgres",
            "user": values["username"],
            "password": values["password"],
            "sslmode": values["sslmode"],
            "connect_timeout": max(2, int(values["timeout"])),
            "options": f"-c statement_timeout={max(1, int(values['timeout'] * 1000))}",
        }

    def streams(self, statement: str) -> bool:
        return statement.lstrip().lower().startswith(_STREAMED)


class MysqlConnector(_SqlConnector):
    """Output: result, as the help of the five statements says. A result has at most 16 MiB."""

    summary = "A statement on a MySQL or MariaDB server"
    inputs: ClassVar[Inputs] = _inputs(
        "?",
        3306,
        {
            "tls": Input(
                (str,),
                "verify: with a certificate that is checked",
                default="off",
                choices=("off", "on", "verify"),
                place=True,
            )
        },
    )
    placeholders = Placeholders.QUESTION_MARK

    def address(self) -> URL:
        from sqlalchemy import URL

        return URL.create("mysql+pymysql")

    def options(self, values: dict[str, Any]) -> dict[str, Any]:
        import pymysql

        del pymysql
        host = values["host"]
        place = {"unix_socket": host} if host.startswith("/") else {"host": host, "port": values["port"]}
        limit_s = max(1, round(values["timeout"]))
        options = {
            **place,
            "database": values["database"],
            "user": values["username"] or "",
            "password": values["password"] or "",
            "charset": "utf8mb4",
            "connect_timeout": limit_s,
            "read_timeout": limit_s,
            "write_timeout": limit_s,
        }
        if values["tls"] == "off":
            return {**options, "ssl_disabled": True}
        # A context, since of its own the driver checks no name unless it is given a file of authorities.
        return {**options, "ssl": tls_context(verify=values["tls"] == "verify")}

    def prepare(self, engine: Engine) -> None:
        import pymysql
        from sqlalchemy import event

        def connect(dialect: Any, record: Any, positional: Any, options: dict[str, Any]) -> Any:
            """To the address that was judged; the certificate is still the host's. Raises pymysql.Error."""
            del dialect, record, positional
            address = address_of(options.get("host", ""))
            if address == options.get("host", ""):
                return None
            where = (address, options["port"])
            try:
                judged = socket.create_connection(where, options["connect_timeout"])
            except OSError as error:
                raise pymysql.err.OperationalError(f"can't connect to {options['host']} ({error})") from error
            connection = pymysql.connect(**options, defer_connect=True)
            connection.connect(judged)
            return connection

        event.listen(engine, "do_connect", connect)

    def streams(self, statement: str) -> bool:
        del statement
        return True

    def abandon(self, connection: Connection, found: CursorResult[Any]) -> None:
        # PyMySQL would read all of it first, however much there is, and has no other way to stop that.
        result = getattr(found.cursor, "_result", None)
        if result is not None:
            result.unbuffered_active = False
        connection.invalidate()
