"""Pausing the deliveries to disabled endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, update

from pipeline.database.dialect import dialect_of
from pipeline.database.locks import skip_locked
from pipeline.database.state_literals import has_state
from pipeline.database.tables import deliveries


def pause_deliveries(connection: Connection, origins: Sequence[str]) -> int:
    """Pause the pending deliveries to these endpoints. Return the count."""
    chosen = has_state(deliveries.c.state, "pending"), deliveries.c.origin.in_(origins)
    statement = update(deliveries).where(skip_locked(dialect_of(connection), deliveries, *chosen))
    return connection.execute(statement.values(state="paused")).rowcount


def unpause_deliveries(connection: Connection, origin: str, now: datetime) -> int:
    """Make the paused deliveries to an endpoint pending, due now. Return the count."""
    # The second condition is that of the partial index.
    is_paused = has_state(deliveries.c.state, "paused") & has_state(deliveries.c.state, "paused", "dead")
    chosen = is_paused, deliveries.c.origin == origin
    statement = update(deliveries).where(skip_locked(dialect_of(connection), deliveries, *chosen))
    return connection.execute(statement.values(state="pending", due_at=now)).rowcount
