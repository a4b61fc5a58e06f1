"""Run by Alembic: applies the revisions on the connection that controller.db.migrate opened."""

from alembic import context

from controller.db.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
# The caller's transaction holds the change and the record of its revision: both are kept, or neither.
context.run_migrations()
