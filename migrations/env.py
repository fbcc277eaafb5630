"""What Alembic runs: on the connection it is handed, or on the database of the settings."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from pipeline.database.tables import metadata


def run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _run_on(connection)
        return
    from pipeline.database.engine import Database
    from pipeline.settings import load

    with Database(load().database_url.get_secret_value()).write() as opened:
        _run_on(opened)


def _run_on(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, transactional_ddl=False)
    context.run_migrations()


run()
