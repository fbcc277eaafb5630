"""A PostgreSQL database that tests hand on is what its template is."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.servers.postgres import Postgres
from tests.support.servers.reset_database import fingerprint

DEFINITIONS = (
    "INSERT INTO definitions (name, version, content, stages, created_at) "
    "SELECT 'd', n, repeat('x', 100), 'classify', now() FROM generate_series(1, {}) AS n"
)
BATCH = (
    "INSERT INTO batches (public_id, definition_id, state, total, fair_key, created_at) "
    "VALUES ('b', 1, 'running', 1, '', now())"
)
LEASE = "INSERT INTO leases (name, holder, until) VALUES ('x', '', now())"


@pytest.mark.parametrize(
    "left",
    [
        [LEASE],
        [DEFINITIONS.format(3), BATCH],
        # Larger than what the planner takes an empty table for.
        [DEFINITIONS.format(3_000), BATCH],
        ["SELECT nextval('batches_id_seq')"],
    ],
    ids=["a row", "rows that refer to others", "many rows", "only a number"],
)
def test_rows_and_numbers_that_a_test_left_are_gone(postgres: Postgres, left: list[str]) -> None:
    url = postgres.database()
    new = sizes(url)
    leave(url, left)
    postgres.give_back(url)
    assert postgres.database() == url
    assert_new(url)
    assert sizes(url) == new
    postgres.give_back(url)


@pytest.mark.parametrize(
    "left",
    [
        ["CREATE TABLE notes (note text)"],
        ["ALTER TABLE leases ADD COLUMN note text"],
        ["ALTER TABLE leases RENAME TO gone"],
        ["ALTER TABLE leases SET (autovacuum_enabled = false)"],
        ["CREATE INDEX ON leases (until)"],
        ["UPDATE alembic_version SET version_num = '0000'"],
        [LEASE, "ANALYZE leases"],
    ],
    ids=lambda left: left[-1],
)
def test_a_database_that_is_otherwise_changed_is_handed_on_to_nobody(postgres: Postgres, left: list[str]) -> None:
    url = postgres.database()
    leave(url, left)
    postgres.give_back(url)
    another = postgres.database()
    assert another != url
    assert_new(another)
    postgres.give_back(another)


def test_a_database_that_somebody_still_uses_is_handed_on_to_nobody(postgres: Postgres) -> None:
    url = postgres.database()
    with psycopg.connect(url):
        postgres.give_back(url)
        another = postgres.database()
    assert another != url
    postgres.give_back(another)


def leave(url: str, statements: list[str]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def assert_new(url: str) -> None:
    """Check a database against one that nobody has used."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            expected = 1 if table == "alembic_version" else 0
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (expected,), table
        assert connection.execute("SELECT nextval('batches_id_seq')").fetchone() == (1,)
    template = url.rpartition("/")[0] + "/migrated"
    assert fingerprint(url) == fingerprint(template)


def sizes(url: str) -> list[tuple[object, ...]]:
    """Return what the planner knows of tables: estimated rows, and whether they are larger than it assumes."""
    query = "SELECT relname, reltuples, pg_table_size(oid) > 10 * 8192 FROM pg_class WHERE relkind = 'r' ORDER BY 1"
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()
