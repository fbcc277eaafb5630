"""How fast a batch finishes items, read from the end of its log."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from pipeline.database.tables import events


def count_recent(connection: Connection, batch_id: int, limit: int) -> tuple[int, datetime] | None:
    """Return the number of the last events of a batch, up to `limit`, and the time of the first of them.

    Return None if there are no events.
    """
    of_batch = events.c.batch_id == batch_id
    last = connection.scalar(select(func.max(events.c.seq)).where(of_batch))
    if last is None:
        return None
    first = max(1, last - limit + 1)
    at: datetime | None = connection.scalar(select(events.c.created_at).where(of_batch, events.c.seq == first))
    return None if at is None else (last - first + 1, at)
