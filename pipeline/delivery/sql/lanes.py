"""Lanes: deliveries to ordered endpoints, of which only the first in each lane may be sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Boolean, Connection, bindparam, text

from pipeline.database.instant import Instant
from pipeline.database.tables import RETRIED
from pipeline.delivery.rules.bundle import Due
from pipeline.delivery.rules.lane import Head
from pipeline.delivery.sql.bundles import DUE_COLUMNS, due_from_row


def lane_sql(origin: str, batch_id: str) -> str:
    """Return SQL for the lane of a new delivery, null if its endpoint is not ordered.

    Args:
        origin: SQL for the endpoint of the delivery.
        batch_id: SQL for the id of its batch.
    """
    return f"""
    (SELECT CASE n.ordering WHEN 'endpoint' THEN n.origin
                            WHEN 'batch' THEN n.origin || '#' || CAST({batch_id} AS TEXT) END
     FROM endpoints n WHERE n.origin = {origin})"""


_OPEN = "{0}.lane IS NOT NULL AND {0}.state IN ('pending', 'sending')"

# A loose index scan: two probes for each lane, however many deliveries wait in it. It scans all lanes at once, since
# collations do not agree on the order of their names. The delivery being sent need not be the first: the first may have
# been replayed.
_HEADS = text(
    f"""
    WITH RECURSIVE lanes(lane) AS (
        SELECT min(d.lane) FROM deliveries d WHERE {_OPEN.format("d")}
        UNION ALL
        SELECT (SELECT min(d.lane) FROM deliveries d WHERE {_OPEN.format("d")} AND d.lane > lanes.lane)
        FROM lanes WHERE lanes.lane IS NOT NULL
    ), busy(lane) AS (
        SELECT coalesce(lane, '') FROM deliveries WHERE state = 'sending' AND lease_until >= :earliest
    )
    SELECT h.id, h.lane, h.origin, h.lane IN (SELECT busy.lane FROM busy) AS is_busy, h.due_at,
           CASE WHEN h.attempt > 0 THEN coalesce(
               (SELECT min(a.ended_at) FROM attempts a WHERE a.delivery_id = h.id AND a.outcome = 'retry'),
               (SELECT min(a.ended_at) FROM attempts a WHERE a.bundle_id = h.bundle_id AND a.outcome = 'retry')
           ) END AS failed_at
    FROM lanes
    JOIN deliveries h ON h.id = (SELECT min(d.id) FROM deliveries d WHERE {_OPEN.format("d")} AND d.lane = lanes.lane)
    WHERE lanes.lane IS NOT NULL
    """
).bindparams(bindparam("earliest", datetime(1970, 1, 1, tzinfo=UTC), type_=Instant))
_TYPED_HEADS = _HEADS.columns(is_busy=Boolean, due_at=Instant, failed_at=Instant)

_FIRST = text(
    f"""
    SELECT {DUE_COLUMNS}
    FROM deliveries d JOIN events e ON e.batch_id = d.batch_id AND e.seq = d.seq
    WHERE {_OPEN.format("d")} AND d.lane = :lane ORDER BY d.id LIMIT :limit
    """
).columns(due_at=Instant)

# All deliveries of a bundle leave together.
_LEAVE = text(
    """
    UPDATE deliveries SET lane = NULL
    WHERE lane IN :lanes AND state = 'pending' AND (id IN :ids OR bundle_id IN
        (SELECT d.bundle_id FROM deliveries d WHERE d.id IN :ids AND d.bundle_id IS NOT NULL AND NOT d.is_alone))
    """
).bindparams(bindparam("ids", expanding=True), bindparam("lanes", expanding=True))

_OUTSIDE = text(
    " UNION ALL ".join(
        f"""
    SELECT min(due_at) AS due_at FROM
        (SELECT due_at, lane FROM deliveries WHERE state = 'pending' AND origin = :origin AND {RETRIED} = {retried}
         ORDER BY due_at, id LIMIT :window) chosen
    WHERE lane IS NULL"""
        for retried in (0, 1)
    )
).columns(due_at=Instant)


def find_heads(connection: Connection) -> list[Head]:
    """Return the first delivery of every lane, longest due first."""
    found = [Head(*row) for row in connection.execute(_TYPED_HEADS)]
    return sorted(found, key=lambda head: (head.due_at, head.id))


def find_first(connection: Connection, lane: str, limit: int) -> list[Due]:
    """Return the first `limit` deliveries of a lane, in order."""
    return [due_from_row(row) for row in connection.execute(_FIRST, {"lane": lane, "limit": limit})]


def leave_lanes(connection: Connection, skipped: Sequence[Head]) -> None:
    """Take deliveries out of their lanes. From now on they are sent unordered."""
    connection.execute(_LEAVE, {"ids": [head.id for head in skipped], "lanes": sorted({head.lane for head in skipped})})


def next_due_outside(connection: Connection, origin: str, window: int) -> datetime | None:
    """Return when the next delivery outside all lanes is due at an ordered endpoint, or None if none is found.

    Such a delivery is older than the ordering, or was taken out of its lane. Only the next `window` pending deliveries
    are read; those behind a longer backlog are found as it shrinks.
    """
    found = connection.scalars(_OUTSIDE, {"origin": origin, "window": window})
    return min((at for at in found if at is not None), default=None)
