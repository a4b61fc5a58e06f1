"""Records of flows: versions, which never change, and the names under which they were pushed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, bindparam, delete, func, insert, select
from sqlalchemy.engine import Connection

from controller.db.engine import Transactions
from controller.db.filters import condition
from controller.db.schema import flow_files, flows, releases
from controller.db.upsert import insert_or_keep
from controller.model import Filter, Flow, FlowFile, Release

_SELECT_FLOW = select(flows.c.name, flows.c.version, flows.c.script).where(flows.c.version == bindparam("key"))
_SELECT_FILES = (
    select(flow_files.c.path, flow_files.c.content)
    .where(flow_files.c.version == bindparam("key"))
    .order_by(flow_files.c.path)
)
_RELEASE = select(releases.c.name, releases.c.number, releases.c.version, releases.c.created_at)
_SELECT_RELEASES = _RELEASE.where(releases.c.name == bindparam("key")).order_by(releases.c.number.desc())
_SELECT_RELEASE_OF = (
    _RELEASE.where(releases.c.version == bindparam("key")).order_by(releases.c.created_at.desc()).limit(1)
)
_NEWEST = select(releases.c.name, func.max(releases.c.number).label("number")).group_by(releases.c.name).subquery()
_SELECT_NEWEST = _RELEASE.join(
    _NEWEST, and_(_NEWEST.c.name == releases.c.name, _NEWEST.c.number == releases.c.number)
).order_by(releases.c.name)
_FILTERED = {"name": releases.c.name, "version": releases.c.version, "created_at": releases.c.created_at}


def insert_flow(connection: Connection, flow: Flow) -> None:
    """Within a transaction; a version that exists already stays as it is."""
    inserted = connection.execute(
        insert_or_keep(connection.dialect.name, flows),
        {"version": flow.version, "name": flow.name, "script": flow.script.encode()},
    ).rowcount
    if inserted and flow.files:
        connection.execute(
            insert(flow_files),
            [{"version": flow.version, "path": file.path, "content": file.content} for file in flow.files],
        )


class FlowRecords(Transactions):
    """Flows by version, and their releases by name."""

    def flow(self, version: str) -> Flow | None:
        with self._reading() as connection:
            row = connection.execute(_SELECT_FLOW, {"key": version}).first()
            if row is None:
                return None
            files = tuple(FlowFile(*found) for found in connection.execute(_SELECT_FILES, {"key": version}))
        return Flow(name=row.name, version=row.version, script=row.script.decode(), files=files)

    def add_release(self, name: str, flow: Flow) -> Release:
        """Make the version the newest of that name; what is the newest already is answered as it is."""
        with self._writing() as connection:
            insert_flow(connection, flow)
            newest = connection.execute(_SELECT_RELEASES, {"key": name}).first()
            if newest is not None and newest.version == flow.version:
                return Release(*newest)
            release = Release(name, 1 if newest is None else newest.number + 1, flow.version, self._now())
            connection.execute(
                insert(releases),
                {
                    "name": release.name,
                    "number": release.number,
                    "version": release.version,
                    "created_at": release.created_at,
                },
            )
            return release

    def releases(self, name: str) -> Sequence[Release]:
        """Of one name, newest first."""
        with self._reading() as connection:
            return [Release(*row) for row in connection.execute(_SELECT_RELEASES, {"key": name})]

    def release_of(self, version: str) -> Release | None:
        """The newest of that version."""
        with self._reading() as connection:
            row = connection.execute(_SELECT_RELEASE_OF, {"key": version}).first()
        return None if row is None else Release(*row)

    def newest_releases(self, where: Filter | None, limit: int, after: str) -> Sequence[Release]:
        """The newest of each name, by name; after: the name after which to go on. Raises InvalidArgument."""
        query = _SELECT_NEWEST.where(releases.c.name > after).limit(limit)
        if where is not None:
            query = query.where(condition(_FILTERED, where))
        with self._reading() as connection:
            return [Release(*row) for row in connection.execute(query)]

    def delete_releases(self, name: str) -> bool:
        """Forget the name; the versions stay for the executions that run them. False: there was none."""
        with self._writing() as connection:
            return connection.execute(delete(releases).where(releases.c.name == name)).rowcount > 0
