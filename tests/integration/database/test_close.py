"""A database that is closed while transactions are open."""

from __future__ import annotations

import gc

from sqlalchemy import text

from pipeline.database.engine import Database
from tests.support.servers.fixtures import on_postgresql


# A connection of SQLite is closed with its last reference, and says nothing of it before Python 3.13.
@on_postgresql
def test_a_connection_in_use_is_closed_when_its_transaction_ends(database: Database) -> None:
    with database.read() as connection:
        opened = connection.connection.dbapi_connection
        assert opened is not None
        database.close()
        assert connection.scalar(text("SELECT 1")) == 1
    assert opened.closed
    del opened, connection
    # Else psycopg warns of one that is dropped open, which fails the test.
    gc.collect()
    with database.read() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
