"""When items finished, and how long they took."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from pipeline.batches.sql.items import id_range
from pipeline.database.tables import events, items
from pipeline.domain.event import RESULT_TYPES, EventType


def find_finished(connection: Connection, batch_id: int, limit: int) -> list[tuple[datetime, bool]]:
    """Return when the latest items finished, and whether each succeeded: at most `limit`, the newest first."""
    query = (
        select(events.c.created_at, events.c.type)
        .where(events.c.batch_id == batch_id)
        .order_by(events.c.seq.desc())
        .limit(limit)
    )
    return [(at, kind == EventType.ITEM_COMPLETED) for at, kind in connection.execute(query) if kind in RESULT_TYPES]


def find_latencies(connection: Connection, batch_id: int, limit: int) -> list[float]:
    """Return the seconds from submission to the end of at most `limit` items: those at the end of the input."""
    query = (
        select(items.c.created_at, items.c.finished_at)
        .where(items.c.id.between(*id_range(batch_id)), items.c.finished_at.is_not(None))
        .order_by(items.c.id.desc())
        .limit(limit)
    )
    return [(finished - created).total_seconds() for created, finished in connection.execute(query)]
