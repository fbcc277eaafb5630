"""Which batches have items to release, and when their next item is due: one statement for all batches.

Suspects are not counted: they are released separately.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, text

from pipeline.database.instant import Instant

# A loose index scan: one index probe for each batch that has items with a `due_at`. A batch without any, and without
# positions that were never released, costs nothing. ORDER BY with LIMIT instead of min(): when PostgreSQL's statistics
# say that hardly anything is pending, it computes min() over all pending rows.
_PENDING = text(
    """
    WITH RECURSIVE later(batch_id) AS (
        SELECT (SELECT i.batch_id FROM items i WHERE i.state = 'pending' AND i.due_at IS NOT NULL AND i.crashes = 0
                ORDER BY i.batch_id LIMIT 1)
        UNION ALL
        SELECT (SELECT i.batch_id FROM items i
                WHERE i.state = 'pending' AND i.due_at IS NOT NULL AND i.crashes = 0 AND i.batch_id > later.batch_id
                ORDER BY i.batch_id LIMIT 1)
        FROM later WHERE later.batch_id IS NOT NULL
    ), pending(batch_id) AS (
        SELECT batch_id FROM unreleased UNION SELECT batch_id FROM later
    )
    SELECT b.id, b.public_id, b.weight, b.fair_key, d.stages, b.total, b.last_position, b.max_in_flight, u.first,
           b.state = 'open',
           EXISTS (SELECT 1 FROM items i
                   WHERE i.batch_id = b.id AND i.state = 'pending' AND i.crashes = 0 AND i.due_at <= :now)
           AS has_due,
           (SELECT i.due_at FROM items i
            WHERE i.batch_id = b.id AND i.state = 'pending' AND i.crashes = 0 AND i.due_at > :now
            ORDER BY i.due_at LIMIT 1)
           AS next_due_at
    FROM pending JOIN batches b ON b.id = pending.batch_id JOIN definitions d ON d.id = b.definition_id
    LEFT JOIN unreleased u ON u.batch_id = b.id AND u.first <= b.last_position
    WHERE b.state IN ('open', 'running')
      AND NOT EXISTS (SELECT 1 FROM step_breakers s WHERE s.definition_id = b.definition_id AND s.open_until > :now)
    ORDER BY b.id
    """
).bindparams(bindparam("now", type_=Instant))
_TYPED = _PENDING.columns(next_due_at=Instant)


class PendingBatch(NamedTuple):
    """A batch with pending items that may be released.

    Args:
        total: the number of its items.
        last: the highest position, which is above `total` if items were refused.
        max_in_flight: most of its items in flight at once; None: as many as the window allows.
        first: the lowest position that was never released; None if all were.
        is_open: whether positions above `last` may be added at any time.
        has_due: whether some that were released before are due again.
        next_due_at: when the next of them will be due; None if all are due already.
    """

    id: int
    public_id: str
    weight: int
    fair_key: str
    stages: str
    total: int
    last: int | None
    max_in_flight: int | None
    first: int | None
    is_open: bool
    has_due: bool
    next_due_at: datetime | None

    @property
    def has_fresh(self) -> bool:
        return self.first is not None

    @property
    def is_idle(self) -> bool:
        """Whether it is open and waits for more items."""
        return not (self.has_fresh or self.has_due or self.next_due_at)


def find_pending(connection: Connection, now: datetime) -> list[PendingBatch]:
    """Return the batches with pending items that may be released, oldest first."""
    found = [PendingBatch(*row) for row in connection.execute(_TYPED, {"now": now})]
    return [batch for batch in found if not batch.is_idle]
