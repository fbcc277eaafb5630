"""What waits for endpoints, and what was given up: counted by indexes that hold no more than that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, TextClause, bindparam, text

from pipeline.database.instant import Instant
from pipeline.database.json_rows import is_sqlite
from pipeline.database.lists import listed

# Each part is served by the partial index of its states: SQLite wants to see the condition of one word by word, and a
# column of the other asked for. What was delivered is not counted, however much it is.
_COUNTS = """
    SELECT origin, 'pending' AS state, count(*) AS number FROM deliveries
    WHERE state = 'pending' AND {chosen} GROUP BY origin
    UNION ALL
    SELECT origin, 'sending', count(*) FROM deliveries
    WHERE state = 'sending' AND lease_until >= :ever AND {chosen} GROUP BY origin
    UNION ALL
    SELECT origin, 'paused', count(*) FROM deliveries
    WHERE state = 'paused' AND state IN ('paused', 'dead') AND {chosen} GROUP BY origin
    UNION ALL
    SELECT origin, 'dead', count(*) FROM deliveries
    WHERE state = 'dead' AND state IN ('paused', 'dead') AND {chosen} GROUP BY origin
    """
_OLDEST = """
    SELECT origin, min(due_at) AS due_at FROM deliveries WHERE state = 'pending' AND {chosen} GROUP BY origin"""

_SQLITE = "origin IN (SELECT value FROM json_each(:origins))"
_POSTGRESQL = "origin = ANY(CAST(:origins AS text[]))"


def _of(statement: str) -> tuple[TextClause, TextClause]:
    """Return a statement about chosen endpoints for SQLite, and for PostgreSQL."""
    return text(statement.format(chosen=_SQLITE)), text(statement.format(chosen=_POSTGRESQL))


_ever = bindparam("ever", datetime(1970, 1, 1, tzinfo=UTC), type_=Instant)
_COUNTS_SQLITE, _COUNTS_POSTGRESQL = (each.bindparams(_ever) for each in _of(_COUNTS))
_OLDEST_SQLITE, _OLDEST_POSTGRESQL = (each.columns(due_at=Instant) for each in _of(_OLDEST))


def _skipping(state: str) -> str:
    """Return a loose index scan over the endpoints of deliveries that are in a state, given as a condition."""
    least = f"SELECT min(origin) FROM deliveries WHERE {state}"
    return f"""
        WITH RECURSIVE found(origin) AS (
            {least} UNION ALL SELECT ({least} AND origin > found.origin) FROM found WHERE found.origin IS NOT NULL
        )
        SELECT origin FROM found WHERE origin IS NOT NULL"""


_ORIGINS = [text(_skipping(state)) for state in ("state = 'pending'", "state IN ('paused', 'dead')")]


def counts(connection: Connection, origins: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many deliveries to each of these endpoints wait, are under way, paused or dead.

    Endpoints and states without any are left out.
    """
    found: dict[str, dict[str, int]] = {}
    query = _COUNTS_SQLITE if is_sqlite(connection) else _COUNTS_POSTGRESQL
    for origin, state, number in connection.execute(query, {"origins": listed(connection, origins)}):
        found.setdefault(origin, {})[state] = number
    return found


def oldest_due_at(connection: Connection, origins: Sequence[str]) -> dict[str, datetime]:
    """Return when the pending delivery to each of these endpoints that comes first is due; those with none left out."""
    query = _OLDEST_SQLITE if is_sqlite(connection) else _OLDEST_POSTGRESQL
    return {row.origin: row.due_at for row in connection.execute(query, {"origins": listed(connection, origins)})}


def origins(connection: Connection) -> set[str]:
    """Return the endpoints that have deliveries which wait or were given up."""
    return {name for query in _ORIGINS for name in connection.scalars(query)}
