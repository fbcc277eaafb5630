"""Which batches have something to release, and when the next item comes due: for all batches in one statement.

Suspects, whose worker died, are no part of it: they are released apart.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, text

from pipeline.database.instant import Instant

# Loose index scans: one probe of an index for each batch that has pending items. A batch that has none costs nothing.
# By ORDER BY and LIMIT, not by min(): where PostgreSQL believes that hardly anything is pending, as it does after each
# large submission, it takes the least of all that is.
_PENDING = text(
    """
    WITH RECURSIVE fresh(batch_id) AS (
        SELECT (SELECT i.batch_id FROM items i WHERE i.state = 'pending' AND i.due_at IS NULL
                ORDER BY i.batch_id LIMIT 1)
        UNION ALL
        SELECT (SELECT i.batch_id FROM items i
                WHERE i.state = 'pending' AND i.due_at IS NULL AND i.batch_id > fresh.batch_id
                ORDER BY i.batch_id LIMIT 1)
        FROM fresh WHERE fresh.batch_id IS NOT NULL
    ), later(batch_id) AS (
        SELECT (SELECT i.batch_id FROM items i WHERE i.state = 'pending' AND i.due_at IS NOT NULL AND i.crashes = 0
                ORDER BY i.batch_id LIMIT 1)
        UNION ALL
        SELECT (SELECT i.batch_id FROM items i
                WHERE i.state = 'pending' AND i.due_at IS NOT NULL AND i.crashes = 0 AND i.batch_id > later.batch_id
                ORDER BY i.batch_id LIMIT 1)
        FROM later WHERE later.batch_id IS NOT NULL
    ), pending(batch_id) AS (
        SELECT batch_id FROM fresh UNION SELECT batch_id FROM later
    )
    SELECT b.id, b.public_id, b.weight, b.fair_key, d.stages,
           EXISTS (SELECT 1 FROM items i WHERE i.batch_id = b.id AND i.state = 'pending' AND i.due_at IS NULL)
           AS has_fresh,
           EXISTS (SELECT 1 FROM items i
                   WHERE i.batch_id = b.id AND i.state = 'pending' AND i.crashes = 0 AND i.due_at <= :now)
           AS has_due,
           (SELECT i.due_at FROM items i
            WHERE i.batch_id = b.id AND i.state = 'pending' AND i.crashes = 0 AND i.due_at > :now
            ORDER BY i.due_at LIMIT 1)
           AS next_due_at
    FROM pending JOIN batches b ON b.id = pending.batch_id JOIN definitions d ON d.id = b.definition_id
    WHERE b.state = 'running' ORDER BY b.id
    """
).bindparams(bindparam("now", type_=Instant))
_TYPED = _PENDING.columns(next_due_at=Instant)


class Pending(NamedTuple):
    """A running batch that has pending items; `next_due_at` is when the next of them comes due that is not yet."""

    id: int
    public_id: str
    weight: int
    fair_key: str
    stages: str
    has_fresh: bool
    has_due: bool
    next_due_at: datetime | None


def pending(connection: Connection, now: datetime) -> list[Pending]:
    """Return the running batches that have pending items, oldest first."""
    return [Pending(*row) for row in connection.execute(_TYPED, {"now": now})]
