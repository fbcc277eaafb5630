"""Giving up deliveries: expiring those that are too old, and finding those to report to a fallback URL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache

from sqlalchemy import Connection, TextClause, bindparam, text

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.row import Row, rows

# A fallback delivery is not reported itself, which would never end. `+ 0`: deliveries are found by their ids. Otherwise
# the planner may read all of them in the order of their events.
_WITH_FALLBACK = (
    text(
        """
        SELECT d.id, d.batch_id, d.seq, d.origin, d.attempt, d.last_status, d.last_error, d.created_at, d.finished_at,
               e.item_id, e.body, b.public_id, b.fallback_url
        FROM deliveries d
        JOIN events e ON e.batch_id = d.batch_id + 0 AND e.seq = d.seq + 0
        JOIN batches b ON b.id = d.batch_id + 0
        WHERE d.id IN :ids AND coalesce(d.state, '') = 'dead' AND d.url <> b.fallback_url
            AND e.type <> 'delivery.exhausted'
        ORDER BY d.batch_id, d.id
        """
    )
    .bindparams(bindparam("ids", expanding=True))
    .columns(created_at=Instant, finished_at=Instant)
)

_TOO_OLD = """
    SELECT d.id FROM deliveries d JOIN batches b ON b.id = d.batch_id
    WHERE d.state = 'pending' AND d.origin = :origin AND d.due_at <= :now AND d.trigger IS NULL
        AND d.created_at <= CASE coalesce(CAST(:schedule AS TEXT), b.schedule)
            WHEN 'short' THEN :short ELSE :standard END
    LIMIT :limit"""
_expiring = tuple(bindparam(name, type_=Instant) for name in ("now", "short", "standard"))
_EXPIRE = """
    UPDATE deliveries SET state = 'dead', last_error = :error, finished_at = :now
    WHERE id IN (SELECT id FROM old) AND state = 'pending' RETURNING id"""


@cache
def _expire(dialect: Dialect) -> TextClause:
    locked = dialect.row_lock_sql("FOR UPDATE OF d SKIP LOCKED")
    return text(f"WITH old AS ({_TOO_OLD} {locked}) {_EXPIRE}").bindparams(*_expiring)


def find_with_fallback(connection: Connection, ids: Sequence[int]) -> list[Row]:
    """Return the dead deliveries among these whose batch has a fallback URL, with their events, by batch."""
    return rows(connection.execute(_WITH_FALLBACK, {"ids": ids}))


def expire(
    connection: Connection,
    origin: str,
    *,
    schedule: str | None,
    before: Mapping[str, datetime],
    now: datetime,
    error: str,
    limit: int,
) -> list[int]:
    """Mark up to `limit` of an endpoint's deliveries that are due and too old as dead. Return their ids.

    A delivery that a user asked to send again gets its attempt, however old it is.

    Args:
        schedule: name of the endpoint's schedule; None for those of the batches.
        before: for each schedule, the time before which a delivery that is too old was created.
    """
    parameters = {"origin": origin, "schedule": schedule, "now": now, "error": error, "limit": limit, **before}
    return list(connection.scalars(_expire(dialect_of(connection)), parameters))
