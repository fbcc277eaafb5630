"""What waits for endpoints, and what was given up: counted by indexes that hold no more than that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from sqlalchemy import Connection, TextClause, bindparam, text
from sqlalchemy.sql.selectable import TextualSelect

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant

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

_ever = bindparam("ever", datetime(1970, 1, 1, tzinfo=UTC), type_=Instant)


@cache
def _counts(dialect: Dialect) -> TextClause:
    return text(_COUNTS.format(chosen=dialect.in_list_sql("origin", "origins", "text"))).bindparams(_ever)


@cache
def _oldest(dialect: Dialect) -> TextualSelect:
    return text(_OLDEST.format(chosen=dialect.in_list_sql("origin", "origins", "text"))).columns(due_at=Instant)


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
    dialect = dialect_of(connection)
    for origin, state, number in connection.execute(_counts(dialect), {"origins": dialect.encode_list(origins)}):
        found.setdefault(origin, {})[state] = number
    return found


def oldest_due_at(connection: Connection, origins: Sequence[str]) -> dict[str, datetime]:
    """Return when the pending delivery to each of these endpoints that comes first is due; those with none left out."""
    dialect = dialect_of(connection)
    found = connection.execute(_oldest(dialect), {"origins": dialect.encode_list(origins)})
    return {row.origin: row.due_at for row in found}


def origins(connection: Connection) -> set[str]:
    """Return the endpoints that have deliveries which wait or were given up."""
    return {name for query in _ORIGINS for name in connection.scalars(query)}
