"""How fast a batch finishes items, read from the end of its log, and since when it could have finished more."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select, text

from pipeline.batches.sql import spans
from pipeline.batches.sql.items import IN_FLIGHT
from pipeline.database.state_literals import has_state
from pipeline.database.tables import batches, events, items, unreleased


class RecentEvents(NamedTuple):
    """The last events of a batch: how many, and when the first and the last of them happened."""

    number: int
    first_at: datetime
    last_at: datetime


def find_recent(connection: Connection, batch_id: int, limit: int) -> RecentEvents | None:
    """Return the last events of a batch, up to `limit`; None if there are none."""
    of_batch = events.c.batch_id == batch_id
    last = connection.scalar(select(func.max(events.c.seq)).where(of_batch))
    if last is None:
        return None
    first = max(1, last - limit + 1)
    query = select(events.c.seq, events.c.created_at).where(of_batch, events.c.seq.in_([first, last]))
    times: dict[int, datetime] = {seq: at for seq, at in connection.execute(query)}
    return RecentEvents(last - first + 1, times[first], times[last]) if first in times else None


def find_work_since(connection: Connection, batch_id: int, now: datetime) -> datetime | None:
    """Return since when a batch has had an item to finish; None if all of its open items wait for their next attempt.

    Items that were never released, or that are released now, count from the start of the batch.
    """
    of_batch = items.c.batch_id == batch_id
    pending = has_state(items.c.state, "pending")
    is_unreleased = select(unreleased.c.batch_id).where(unreleased.c.batch_id == batch_id)
    is_in_flight = select(items.c.id).where(of_batch, has_state(items.c.state, *IN_FLIGHT))
    is_unclaimed = spans.exist_unclaimed(spans.of_batch(batch_id))
    if connection.scalar(select(is_unreleased.exists() | is_in_flight.exists() | is_unclaimed)):
        since: datetime | None = connection.scalar(select(batches.c.started_at).where(batches.c.id == batch_id))
        return since
    # By the index on due items, and by that on suspects.
    oldest = select(func.min(items.c.due_at)).where(of_batch, pending, items.c.due_at <= now)
    found = [connection.scalar(oldest.where(kind)) for kind in (_NO_SUSPECT, _SUSPECT)]
    return min((at for at in found if at is not None), default=None)


# Literals: a partial index serves only statements that contain its condition.
_SUSPECT, _NO_SUSPECT = text("crashes > 0"), text("crashes = 0")
