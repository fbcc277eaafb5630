"""What endpoints took lately, read from the newest deliveries: no index has what was delivered by endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from pipeline.database.instant import Instant

#: Deliveries, the newest, that are looked at.
LOOKED_AT = 100_000

_DELIVERED = text(
    """
    SELECT origin, count(*) AS number, max(finished_at) AS last_at FROM deliveries
    WHERE id > (SELECT max(id) FROM deliveries) - :looked_at AND state = 'delivered'
    GROUP BY origin
    """
).columns(last_at=Instant)


@dataclass(frozen=True, slots=True)
class Taken:
    """What an endpoint took of the newest `LOOKED_AT` deliveries: how many, and the last of them when."""

    number: int = 0
    last_at: datetime | None = None


def taken(connection: Connection) -> dict[str, Taken]:
    """Return what endpoints took lately; those that took nothing are left out."""
    found = connection.execute(_DELIVERED, {"looked_at": LOOKED_AT})
    return {origin: Taken(number, last_at) for origin, number, last_at in found}
