"""Recent successes of endpoints.

There is no index on delivered rows by endpoint, so only the newest deliveries are scanned.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from pipeline.database.instant import Instant

#: How many of the newest deliveries are scanned.
SCANNED_DELIVERIES = 100_000

_DELIVERED = text(
    """
    SELECT origin, count(*) AS number, max(finished_at) AS last_at FROM deliveries
    WHERE id > (SELECT max(id) FROM deliveries) - :scanned AND state = 'delivered'
    GROUP BY origin
    """
).columns(last_at=Instant)


@dataclass(frozen=True, slots=True)
class RecentSuccesses:
    """How many of the newest `SCANNED_DELIVERIES` an endpoint received, and when it received the last of them."""

    number: int = 0
    last_at: datetime | None = None


def find_recent(connection: Connection) -> dict[str, RecentSuccesses]:
    """Return the recent successes of all endpoints that have any."""
    found = connection.execute(_DELIVERED, {"scanned": SCANNED_DELIVERIES})
    return {origin: RecentSuccesses(number, last_at) for origin, number, last_at in found}
