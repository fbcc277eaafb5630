"""The table of items in a file of SQLite, for those by hand that need no server: made, filled and counted."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection

from benchmarks.contestants.program import Row
from benchmarks.contestants.table import TABLE
from benchmarks.job import text_of

_ADD = text("INSERT INTO items (id, text) VALUES (:id, :text)")


def tune_all_engines() -> None:
    """Have every engine of this process use a file as the pipeline does: WAL, on disk at checkpoints."""

    @event.listens_for(Engine, "connect")
    def tune(connection: DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()


def make(database_url: str) -> None:
    """Make the table."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text(TABLE))
    engine.dispose()


def fill(engine: Engine, first: int, count: int) -> None:
    """Add new items in one transaction."""
    with engine.begin() as connection:
        connection.execute(_ADD, [{"id": number, "text": text_of(number)} for number in range(first, first + count)])


def stored(database_url: str) -> tuple[int, Iterable[Row]]:
    """Return how many items there are, and those that are done."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        total = connection.scalar(text("SELECT count(*) FROM items"))
        rows = connection.execute(text("SELECT text, label, enrichment FROM items WHERE status = 'done'")).all()
    engine.dispose()
    return int(total or 0), [Row(words, label, json.loads(enrichment)) for words, label, enrichment in rows]
