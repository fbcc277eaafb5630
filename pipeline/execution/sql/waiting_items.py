"""How many items wait at each stage: due but not released, or released but not claimed."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, select, text

from pipeline.batches.sql import spans
from pipeline.database.state_literals import has_state
from pipeline.database.tables import batches, items
from pipeline.domain.item import Stage
from pipeline.execution.sql import span_releases

# Literals: a partial index serves only statements that contain its condition.
_SUSPECT, _NO_SUSPECT = text("crashes > 0"), text("crashes = 0")


def count_due(connection: Connection, now: datetime, batch_id: int | None, limit: int) -> Counter[str]:
    """Return how many items at each stage are due and not released, of one running batch or of all.

    Args:
        limit: count about this many at most.
    """
    running = select(batches.c.id).where(batches.c.state.in_(["open", "running"]), batches.c.completed_at.is_(None))
    if batch_id is not None:
        running = running.where(batches.c.id == batch_id)
    is_due = has_state(items.c.state, "pending"), items.c.due_at <= now, items.c.batch_id.in_(running)
    found = Counter({Stage.CLASSIFY.value: span_releases.count_unreleased(connection, batch_id, limit)})
    for kind in (_NO_SUSPECT, _SUSPECT):
        found += _count(connection, and_(*is_due, kind), limit=limit)
    return found


def count_unclaimed(connection: Connection, batch_id: int | None, limit: int) -> Counter[str]:
    """Return how many items at each stage are released and not claimed, of one batch or of all.

    Args:
        limit: count about this many at most of those released by row; the window bounds the others.
    """
    of_items = () if batch_id is None else (items.c.batch_id == batch_id,)
    by_row = _count(connection, has_state(items.c.state, "queued"), *of_items, limit=limit)
    live = spans.find_live(connection, None if batch_id is None else spans.of_batch(batch_id))
    return by_row + Counter({Stage.CLASSIFY.value: sum(span.unclaimed for span in live)})


def _count(connection: Connection, *conditions: ColumnElement[bool], limit: int) -> Counter[str]:
    chosen = select(items.c.stage).where(*conditions).limit(limit).subquery()
    query = select(chosen.c.stage, func.count()).group_by(chosen.c.stage)
    return Counter({stage: number for stage, number in connection.execute(query)})
