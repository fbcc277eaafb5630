"""What the rules look at: counters of batches, partial indexes and leases. No statement reads finished items.

These statements are written as text: a partial index serves only statements that contain its condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, text

from pipeline.database.instant import Instant
from pipeline.database.row import Row, rows
from pipeline.database.tables import RETRIED
from pipeline.database.text_columns import with_columns

#: The events that a batch's pace is taken from.
PACE_EVENTS = 500
#: Deliveries to channels that are read to see which channels fail.
_CHANNEL_DELIVERIES = 500

_TIMES = {"deadline", "last_event_at", "pace_since"}
_BATCH_COLUMNS = (
    "id", "public_id", "definition", "total", "succeeded", "dead", "cancelled", "next_seq", "deadline",
    "last_event_at", "pace_since", "is_quiet",
)  # fmt: skip
_HAS_WORK = """
    EXISTS (SELECT 1 FROM unreleased u WHERE u.batch_id = b.id AND u.first <= b.last_position)
    OR EXISTS (SELECT 1 FROM spans s WHERE s.batch_id = b.id)
    OR EXISTS (SELECT 1 FROM items i WHERE i.batch_id = b.id AND i.state IN ('queued', 'running'))
    OR EXISTS (SELECT 1 FROM items i WHERE i.batch_id = b.id AND i.state = 'pending' AND i.due_at IS NOT NULL
               AND i.crashes = 0 AND i.due_at <= :now)"""
_IS_QUIET = f"""
    b.state IN ('open', 'running') AND coalesce(l.created_at, b.started_at, b.created_at) <= :quiet_since
    AND ({_HAS_WORK})"""
_BATCHES = with_columns(
    text(
        f"""
    SELECT b.id, b.public_id, d.name, b.total, b.succeeded, b.dead, b.cancelled, b.next_seq, b.deadline,
           coalesce(l.created_at, b.started_at, b.created_at) AS last_event_at, p.created_at AS pace_since,
           ({_IS_QUIET}) AS is_quiet
    FROM batches b
    JOIN definitions d ON d.id = b.definition_id
    LEFT JOIN events l ON l.batch_id = b.id AND l.seq = b.next_seq - 1
    LEFT JOIN events p ON p.batch_id = b.id AND p.seq = b.next_seq - {PACE_EVENTS} AND b.deadline IS NOT NULL
    WHERE b.completed_at IS NULL AND b.state <> 'accepting'
        AND (b.deadline IS NOT NULL
             OR (b.succeeded + b.dead >= :min_items AND b.dead >= :rate * (b.succeeded + b.dead))
             OR ({_IS_QUIET}))
    ORDER BY b.id
    """
    ).bindparams(bindparam("now", type_=Instant), bindparam("quiet_since", type_=Instant)),
    _BATCH_COLUMNS,
    _TIMES,
)


class WatchedBatch(NamedTuple):
    """A batch that is not complete, and of which a rule may have something to say.

    Args:
        last_event_at: when its last event was written; without one, when it began.
        pace_since: when the event 500 before the next one was written; None: it has no deadline, or fewer events.
        is_quiet: whether it runs and has work to do, and wrote no event for the time that the caller asked about.
    """

    id: int
    public_id: str
    definition: str
    total: int
    succeeded: int
    dead: int
    cancelled: int
    next_seq: int
    deadline: datetime | None
    last_event_at: datetime
    pace_since: datetime | None
    is_quiet: bool

    @property
    def finals(self) -> int:
        return self.succeeded + self.dead

    @property
    def remaining(self) -> int:
        return self.total - self.succeeded - self.dead - self.cancelled


def find_open_batches(
    connection: Connection, now: datetime, *, rate: float, min_items: float, quiet_since: datetime
) -> list[WatchedBatch]:
    """Return the open batches with a deadline, with many dead items, or without an event since `quiet_since`.

    Args:
        rate: share of dead items among at least `min_items` finished ones.
    """
    given = {"now": now, "rate": rate, "min_items": min_items, "quiet_since": quiet_since}
    return [WatchedBatch(*row) for row in connection.execute(_BATCHES, given)]


_DUE = text(
    """
    SELECT EXISTS (
        SELECT 1 FROM unreleased u JOIN batches b ON b.id = u.batch_id
        WHERE u.first <= b.last_position AND b.state IN ('open', 'running')
    ) OR EXISTS (
        SELECT 1 FROM batches b WHERE b.completed_at IS NULL AND b.state IN ('open', 'running')
            AND EXISTS (SELECT 1 FROM items i WHERE i.batch_id = b.id AND i.state = 'pending'
                        AND i.due_at IS NOT NULL AND i.crashes = 0 AND i.due_at <= :now)
    )
    """
).bindparams(bindparam("now", type_=Instant))


def has_due_items(connection: Connection, now: datetime) -> bool:
    """Return whether an item of a running batch is due and not released."""
    return bool(connection.scalar(_DUE, {"now": now}))


_UNCLAIMED = text("SELECT DISTINCT stage FROM items WHERE state IN ('queued', 'running') AND state = 'queued'")
_SPANS = text("SELECT 1 FROM spans LIMIT 1")


def find_released_stages(connection: Connection) -> set[str]:
    """Return the stages that released items wait for. Their number is bounded by the window of dispatch."""
    found = set(connection.scalars(_UNCLAIMED))
    # Ranges are released for the first stage only.
    return found | {"classify"} if connection.scalar(_SPANS) is not None else found


_LATE_COLUMNS = ("origin", "due_at", "rate")
# A loose index scan: three probes for each endpoint, however many deliveries wait for it.
_LATE = with_columns(
    text(
        f"""
    WITH RECURSIVE waiting(origin) AS (
        SELECT min(origin) FROM deliveries WHERE state = 'pending'
        UNION ALL
        SELECT (SELECT min(d.origin) FROM deliveries d WHERE d.state = 'pending' AND d.origin > waiting.origin)
        FROM waiting WHERE waiting.origin IS NOT NULL
    ), due(origin, first_at, retry_at) AS (
        SELECT origin,
               (SELECT min(due_at) FROM deliveries
                WHERE state = 'pending' AND origin = waiting.origin AND {RETRIED} = 0),
               (SELECT min(due_at) FROM deliveries
                WHERE state = 'pending' AND origin = waiting.origin AND {RETRIED} = 1)
        FROM waiting WHERE origin IS NOT NULL
    )
    SELECT due.origin, CASE WHEN first_at IS NULL OR retry_at < first_at THEN retry_at ELSE first_at END AS due_at,
           e.rate
    FROM due LEFT JOIN endpoints e ON e.origin = due.origin
    WHERE (first_at <= :late OR retry_at <= :late) AND e.disabled_at IS NULL AND e.ordering IS NULL
        AND coalesce(e.breaker, 'closed') = 'closed' AND (e.not_before IS NULL OR e.not_before <= :late)
        AND due.origin NOT LIKE 'alert:%'
    ORDER BY 2 LIMIT 1
    """
    ).bindparams(bindparam("late", type_=Instant)),
    _LATE_COLUMNS,
    {"due_at"},
)


def find_latest_delivery(connection: Connection, late: datetime) -> Row | None:
    """Return origin, `due_at` and rate of the endpoint whose oldest delivery has been due since before `late`.

    Endpoints that may not be called are left out, and ordered ones, whose deliveries wait for each other.
    """
    found = rows(connection.execute(_LATE, {"late": late}))
    return found[0] if found else None


_TROUBLED = text(
    """
    SELECT origin, disabled_reason FROM endpoints
    WHERE (disabled_at IS NOT NULL OR warned > 0) AND origin NOT LIKE 'alert:%' ORDER BY origin
    """
)


def find_troubled_endpoints(connection: Connection) -> list[tuple[str, str | None]]:
    """Return (origin, reason) of endpoints that are disabled, or that have accepted nothing for an hour (None)."""
    return [(origin, reason) for origin, reason in connection.execute(_TROUBLED)]


_SUSPECTS = text(
    """
    SELECT count(*) FROM (SELECT 1 FROM items WHERE state IN ('pending', 'queued', 'running') AND crashes > 0
                          LIMIT :limit) AS suspects
    """
)
_GIVEN_UP = text(
    """
    SELECT count(*) FROM items WHERE state = 'dead' AND crashes > 0 AND error_type = 'worker_died'
        AND finished_at >= :since
    """
).bindparams(bindparam("since", type_=Instant))


def count_suspects(connection: Connection, limit: int) -> int:
    """Return how many items that took a worker with them are not final; at most `limit`."""
    return int(connection.scalar(_SUSPECTS, {"limit": limit}) or 0)


def count_given_up(connection: Connection, since: datetime) -> int:
    """Return how many items were given up since an instant, because their workers died."""
    return int(connection.scalar(_GIVEN_UP, {"since": since}) or 0)


_OF_CHANNELS = text(
    f"""
    SELECT origin, state, attempt FROM deliveries WHERE batch_id = 0 ORDER BY seq DESC LIMIT {_CHANNEL_DELIVERIES}
    """
)


def find_channel_deliveries(connection: Connection) -> Sequence[tuple[str, str, int]]:
    """Return (origin, state, attempt) of the newest deliveries to channels, newest first."""
    return [(origin, state, attempt) for origin, state, attempt in connection.execute(_OF_CHANNELS)]
