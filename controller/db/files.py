"""Records of files and their contents."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select

from controller.db.engine import Transactions
from controller.db.filters import condition
from controller.db.schema import files
from controller.db.upsert import insert_or_replace
from controller.model import FileInfo, Filter

_SELECT_CONTENT = select(files.c.content).where(files.c.name == bindparam("key"))
_SELECT_INFO = select(files.c.name, files.c.size_bytes, files.c.created_at, files.c.modified_at)
_SELECT_CREATED = select(files.c.created_at).where(files.c.name == bindparam("key"))
_FILTERED = {name: files.c[name] for name in ("name", "size_bytes", "created_at", "modified_at")}


class FileRecords(Transactions):
    """Files by name. Saving replaces; deleting says with False that there was none."""

    def file(self, name: str) -> bytes | None:
        with self._reading() as connection:
            return connection.execute(_SELECT_CONTENT, {"key": name}).scalar()

    def file_info(self, name: str) -> FileInfo | None:
        with self._reading() as connection:
            row = connection.execute(_SELECT_INFO.where(files.c.name == name)).first()
        return None if row is None else FileInfo(*row)

    def files(self, where: Filter | None, limit: int, after: str) -> Sequence[FileInfo]:
        """By name; after: the name after which to go on. Raises InvalidArgument for a filter that makes no sense."""
        query = _SELECT_INFO.where(files.c.name > after).order_by(files.c.name).limit(limit)
        if where is not None:
            query = query.where(condition(_FILTERED, where))
        with self._reading() as connection:
            return [FileInfo(*row) for row in connection.execute(query)]

    def save_file(self, name: str, content: bytes) -> None:
        now = self._now()
        with self._writing() as connection:
            created_at = connection.execute(_SELECT_CREATED, {"key": name}).scalar()
            values = {
                "name": name,
                "content": content,
                "size_bytes": len(content),
                "created_at": created_at or now,
                "modified_at": now,
            }
            connection.execute(insert_or_replace(connection.dialect.name, files), values)

    def delete_file(self, name: str) -> bool:
        with self._writing() as connection:
            return connection.execute(delete(files).where(files.c.name == name)).rowcount == 1
