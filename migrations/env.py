"""Alembic's entry: runs migrations on the engine that the caller brings, each in a transaction of its own."""

from alembic import context
from sqlalchemy import text

from worker.database.tables import Base

with context.config.attributes["engine"].connect() as connection:
    connection.detach()  # what is set here ends with it
    # Everybody who comes later waits behind a migration that waits; it gives up first, and `upgrade` tries it again.
    connection.execute(text("SET lock_timeout = '2s'"))
    connection.commit()
    context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
