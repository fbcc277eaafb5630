"""What the rows of a batch say about each item and its events. Each statement reads the whole batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, text

from pipeline.batches.sql.items import id_range
from pipeline.database.instant import Instant
from pipeline.database.tables import events, items
from pipeline.domain.event import EventType, item_event_type
from pipeline.domain.item import ItemState

_FINAL = (ItemState.SUCCEEDED, ItemState.DEAD, ItemState.CANCELLED)
_FINAL_STATES = ", ".join(f"'{state}'" for state in _FINAL)
_END_TYPES = " ".join(f"WHEN '{state}' THEN '{item_event_type(state)}'" for state in _FINAL)

# The last event of an item is the one that says how the item ended.
_UNREPORTED = text(
    f"""
    SELECT i.position
    FROM items i
    LEFT JOIN (
        SELECT item_id, max(seq) AS seq FROM events WHERE batch_id = :batch_id AND item_id IS NOT NULL GROUP BY item_id
    ) l ON l.item_id = i.id
    LEFT JOIN events e ON e.batch_id = :batch_id AND e.seq = l.seq
    WHERE i.id BETWEEN :low AND :high AND i.state IN ({_FINAL_STATES}) AND i.finished_at >= :since
        AND (e.type IS NULL OR e.type <> CASE i.state {_END_TYPES} END)
    ORDER BY i.position
    """
).bindparams(bindparam("since", type_=Instant))

# Only dead and cancelled items are replayed, so nothing follows a success.
_SUPERSEDED = text(
    f"""
    SELECT DISTINCT e.item_id - :first AS position
    FROM events e
    JOIN (
        SELECT item_id, min(seq) AS seq
        FROM events WHERE batch_id = :batch_id AND type = '{EventType.ITEM_COMPLETED}' GROUP BY item_id
    ) s ON s.item_id = e.item_id AND e.seq > s.seq
    WHERE e.batch_id = :batch_id AND e.created_at >= :since
    ORDER BY position
    """
).bindparams(bindparam("since", type_=Instant))


@dataclass(frozen=True, slots=True)
class LogSummary:
    """The event log of a batch: the number of events, the first and last `seq`, and the last `batch.completed`."""

    events: int
    first: int
    last: int
    completed: int | None


def count_items(connection: Connection, batch_id: int) -> dict[ItemState, int]:
    """Return the number of items in each state."""
    query = select(items.c.state, func.count()).where(items.c.id.between(*id_range(batch_id))).group_by(items.c.state)
    return {ItemState(state): number for state, number in connection.execute(query)}


def summarize_log(connection: Connection, batch_id: int) -> LogSummary:
    """Return what the event log of a batch holds."""
    seq, of_batch = events.c.seq, events.c.batch_id == batch_id
    query = select(func.count(), func.min(seq), func.max(seq)).where(of_batch)
    number, first, last = connection.execute(query).one()
    completed = select(func.max(seq)).where(of_batch, events.c.type == EventType.BATCH_COMPLETED)
    return LogSummary(number, first or 0, last or 0, connection.scalar(completed))


def find_unreported(connection: Connection, batch_id: int, since: datetime) -> list[int]:
    """Return the positions of final items whose last event does not say so, of those finished since then."""
    low, high = id_range(batch_id)
    return _positions(connection.execute(_UNREPORTED, {"batch_id": batch_id, "low": low, "high": high, "since": since}))


def find_superseded(connection: Connection, batch_id: int, since: datetime) -> list[int]:
    """Return the positions of items with an event since then that follows their success."""
    first = id_range(batch_id)[0]
    return _positions(connection.execute(_SUPERSEDED, {"batch_id": batch_id, "first": first, "since": since}))


def _positions(found: Any) -> list[int]:
    return [int(position) for (position,) in found]
