"""Alembic's entry: it works on the connection, and in the transaction, that ``Database.migrate`` hands it."""

from alembic import context

from gateway.records.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
