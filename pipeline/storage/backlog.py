"""What waits for endpoints, and what was given up: counted by indexes that hold no more than that."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, text

from pipeline.storage.instant import Instant

# Each part is served by the partial index of its states: SQLite wants to see the condition of one word by word, and a
# column of the other asked for. What was delivered is not counted, however much it is.
_COUNTS = text(
    """
    SELECT 'pending' AS state, count(*) AS number FROM deliveries WHERE state = 'pending' AND origin = :origin
    UNION ALL
    SELECT 'sending', count(*) FROM deliveries
    WHERE state = 'sending' AND lease_until >= :ever AND origin = :origin
    UNION ALL
    SELECT 'paused', count(*) FROM deliveries
    WHERE state = 'paused' AND state IN ('paused', 'dead') AND origin = :origin
    UNION ALL
    SELECT 'dead', count(*) FROM deliveries
    WHERE state = 'dead' AND state IN ('paused', 'dead') AND origin = :origin
    """
).bindparams(bindparam("ever", datetime(1970, 1, 1, tzinfo=UTC), type_=Instant))
_OLDEST = text("SELECT min(due_at) AS due_at FROM deliveries WHERE state = 'pending' AND origin = :origin").columns(
    due_at=Instant
)


def _skipping(state: str) -> str:
    """Return a loose index scan over the endpoints of deliveries that are in a state, given as a condition."""
    least = f"SELECT min(origin) FROM deliveries WHERE {state}"
    return f"""
        WITH RECURSIVE found(origin) AS (
            {least} UNION ALL SELECT ({least} AND origin > found.origin) FROM found WHERE found.origin IS NOT NULL
        )
        SELECT origin FROM found WHERE origin IS NOT NULL"""


_ORIGINS = [text(_skipping(state)) for state in ("state = 'pending'", "state IN ('paused', 'dead')")]


def counts(connection: Connection, origin: str) -> dict[str, int]:
    """Return how many deliveries to an endpoint wait, are under way, paused or dead; states without any left out."""
    return {state: number for state, number in connection.execute(_COUNTS, {"origin": origin}) if number}


def oldest_due_at(connection: Connection, origin: str) -> datetime | None:
    """Return when the pending delivery to an endpoint that comes first is due."""
    found: datetime | None = connection.scalar(_OLDEST, {"origin": origin})
    return found


def origins(connection: Connection) -> set[str]:
    """Return the endpoints that have deliveries which wait or were given up."""
    return {name for query in _ORIGINS for name in connection.scalars(query)}
