"""Adding deliveries to a URL that never received the events of a batch, span by span."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, text

from pipeline.database.instant import Instant
from pipeline.database.locks import lock_against_prune
from pipeline.database.tables import events
from pipeline.delivery.sql.lanes import lane_sql

_MISSING = """
    FROM events e
    WHERE e.batch_id = :batch_id AND e.seq >= :low AND e.seq < :high
        AND (e.type LIKE 'item.%' OR e.type = 'batch.completed' AND :of_batch = 1)
        AND NOT EXISTS
            (SELECT 1 FROM deliveries d WHERE d.batch_id = e.batch_id AND d.seq = e.seq AND d.url = :url)"""

_COUNT_MISSING = text(f"SELECT count(*) {_MISSING}")

# Rows that another transaction inserts at the same time are skipped.
_ADD_MISSING = text(
    f"""
    INSERT INTO deliveries (batch_id, seq, url, origin, state, due_at, created_at, lane)
    SELECT e.batch_id, e.seq, :url, :origin, 'pending', :now, :now, {lane_sql(":origin", ":batch_id")}
    {_MISSING} ORDER BY e.seq
    ON CONFLICT (batch_id, seq, url) DO NOTHING
    """
).bindparams(bindparam("now", type_=Instant))


@dataclass(frozen=True, slots=True)
class MissingDeliveries:
    """The deliveries to a URL that a batch's events lack.

    Args:
        of_batch: include events about the batch itself, not only those about its items.
    """

    batch_id: int
    url: str
    origin: str
    of_batch: bool = False

    def parameters(self, low: int, high: int) -> dict[str, object]:
        of_batch = int(self.of_batch)
        return {"batch_id": self.batch_id, "url": self.url, "of_batch": of_batch, "low": low, "high": high}


def last_seq(connection: Connection, batch_id: int) -> int:
    """Return the `seq` of the last event of a batch, 0 if it has none."""
    return int(connection.scalar(select(func.max(events.c.seq)).where(events.c.batch_id == batch_id)) or 0)


def count_missing(connection: Connection, missing: MissingDeliveries, low: int, high: int) -> int:
    """Return how many deliveries of a span are missing."""
    return int(connection.scalar(_COUNT_MISSING, missing.parameters(low, high)) or 0)


def add_missing(connection: Connection, missing: MissingDeliveries, low: int, high: int, now: datetime) -> int:
    """Insert the missing deliveries of a span, due now. Return the count.

    Return 0 if the batch was pruned in the meantime.
    """
    if not lock_against_prune(connection, [missing.batch_id]):
        return 0
    parameters = {**missing.parameters(low, high), "origin": missing.origin, "now": now}
    return connection.execute(_ADD_MISSING, parameters).rowcount
