"""Batches that an intake fills."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, update

from pipeline.batches.sql import spans
from pipeline.database.row import Row, rows
from pipeline.database.tables import batches
from pipeline.domain.batch import BatchState


def open_batch(connection: Connection, batch_id: int, intake_id: int, now: datetime) -> None:
    """Move a batch without items from accepting to open, in the transaction that inserts it."""
    values = {"state": BatchState.OPEN.value, "intake_id": intake_id, "started_at": now, "last_position": 0}
    connection.execute(update(batches).where(batches.c.id == batch_id).values(**values))
    spans.add_unreleased(connection, batch_id)


def is_open(connection: Connection, batch_id: int) -> bool:
    """Return whether a batch is open."""
    return connection.scalar(select(batches.c.state).where(batches.c.id == batch_id)) == BatchState.OPEN


def find(connection: Connection, batch_id: int) -> Row:
    """Return the row of a batch."""
    return rows(connection.execute(select(batches).where(batches.c.id == batch_id)))[0]


def grow(connection: Connection, batch_id: int, number: int) -> bool:
    """Add items to the total of an open batch, whose row stays locked. Return False if it is not open any more.

    Every position has an item, so the last position is the total.
    """
    statement = (
        update(batches)
        .where(batches.c.id == batch_id, batches.c.state == BatchState.OPEN.value)
        .values(total=batches.c.total + number, last_position=batches.c.total + number)
    )
    return connection.execute(statement).rowcount == 1
