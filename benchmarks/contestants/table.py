"""The table of items that those by hand keep in PostgreSQL: made, filled and counted."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from benchmarks.contestants.program import Row
from benchmarks.job import text_of

TABLE = """
    CREATE TABLE items (
        id bigint PRIMARY KEY,
        text text NOT NULL,
        status text NOT NULL DEFAULT 'new',
        label text,
        enrichment jsonb
    )
"""


def make(database_url: str) -> None:
    """Make the table."""
    with psycopg.connect(database_url) as connection:
        connection.execute(TABLE)


def fill(connection: psycopg.Connection, first: int, count: int) -> None:
    """Add new items, the fastest way there is, and commit."""
    with connection.cursor().copy("COPY items (id, text) FROM STDIN") as copy:
        for number in range(first, first + count):
            copy.write_row((number, text_of(number)))
    connection.commit()


def stored(database_url: str) -> tuple[int, Iterable[Row]]:
    """Return how many items there are, and those that are done."""
    with psycopg.connect(database_url) as connection:
        total = connection.execute("SELECT count(*) FROM items").fetchone()
        rows = connection.execute("SELECT text, label, enrichment FROM items WHERE status = 'done'").fetchall()
    return int(total[0]) if total else 0, [Row(*row) for row in rows]
