"""Deliveries that wait for endpoints or were given up, counted by indexes that contain nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from sqlalchemy import Connection, TextClause, bindparam, text
from sqlalchemy.sql.selectable import TextualSelect

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant

# A partial index serves each part. SQLite needs the condition of one index word for word, and a condition on a column
# of the other. Delivered rows are never read, however many there are.
_COUNTS = """
    SELECT origin, 'pending' AS state, count(*) AS number FROM deliveries
    WHERE state = 'pending' AND {chosen} GROUP BY origin
    UNION ALL
    SELECT origin, 'sending', count(*) FROM deliveries
    WHERE state = 'sending' AND lease_until >= :earliest AND {chosen} GROUP BY origin
    UNION ALL
    SELECT origin, 'paused', count(*) FROM deliveries
    WHERE state = 'paused' AND state IN ('paused', 'dead') AND {chosen} GROUP BY origin
    UNION ALL
    SELECT origin, 'dead', count(*) FROM deliveries
    WHERE state = 'dead' AND state IN ('paused', 'dead') AND {chosen} GROUP BY origin
    """
_OLDEST = """
    SELECT origin, min(due_at) AS due_at FROM deliveries WHERE state = 'pending' AND {chosen} GROUP BY origin"""

_earliest = bindparam("earliest", datetime(1970, 1, 1, tzinfo=UTC), type_=Instant)


@cache
def _counts(dialect: Dialect) -> TextClause:
    return text(_COUNTS.format(chosen=dialect.in_list_sql("origin", "origins", "text"))).bindparams(_earliest)


@cache
def _oldest(dialect: Dialect) -> TextualSelect:
    return text(_OLDEST.format(chosen=dialect.in_list_sql("origin", "origins", "text"))).columns(due_at=Instant)


def _origins_sql(condition: str) -> str:
    """Return SQL for a loose index scan over the endpoints of the deliveries that meet a condition on their state."""
    lowest = f"SELECT min(origin) FROM deliveries WHERE {condition}"
    return f"""
        WITH RECURSIVE found(origin) AS (
            {lowest} UNION ALL SELECT ({lowest} AND origin > found.origin) FROM found WHERE found.origin IS NOT NULL
        )
        SELECT origin FROM found WHERE origin IS NOT NULL"""


_ORIGINS = [text(_origins_sql(condition)) for condition in ("state = 'pending'", "state IN ('paused', 'dead')")]


def count_by_state(connection: Connection, origins: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many deliveries to each of these endpoints are pending, being sent, paused or dead.

    Endpoints and states without deliveries are left out.
    """
    found: dict[str, dict[str, int]] = {}
    dialect = dialect_of(connection)
    for origin, state, number in connection.execute(_counts(dialect), {"origins": dialect.encode_list(origins)}):
        found.setdefault(origin, {})[state] = number
    return found


def find_oldest_due(connection: Connection, origins: Sequence[str]) -> dict[str, datetime]:
    """Return when the first pending delivery to each of these endpoints is due.

    Endpoints without pending deliveries are left out.
    """
    dialect = dialect_of(connection)
    found = connection.execute(_oldest(dialect), {"origins": dialect.encode_list(origins)})
    return {row.origin: row.due_at for row in found}


def find_origins(connection: Connection) -> set[str]:
    """Return the endpoints with deliveries that are pending, paused or dead."""
    return {name for query in _ORIGINS for name in connection.scalars(query)}
