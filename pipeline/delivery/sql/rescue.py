"""Taking back deliveries whose sender is gone: expired leases, dead senders, stopping senders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, or_, text, update

from pipeline.database.dialect import dialect_of
from pipeline.database.locks import skip_locked
from pipeline.database.state_literals import has_state
from pipeline.database.tables import deliveries


def find_holders(connection: Connection) -> list[str]:
    """Return the names of the senders that hold deliveries."""
    found = connection.scalars(text("SELECT DISTINCT worker FROM deliveries WHERE state = 'sending'"))
    return [name for name in found if name is not None]


def take_back(connection: Connection, dead: Sequence[str] = (), *, now: datetime) -> int:
    """Make lost deliveries pending, due now: their lease has expired or their holder is among `dead`. Return the count.

    The attempt still counts: the request may have been sent.
    """
    return _make_pending(connection, or_(deliveries.c.lease_until < now, deliveries.c.worker.in_(dead)), now)


def hand_back(
    connection: Connection,
    worker: str,
    now: datetime,
    ids: Sequence[int] | None = None,
    until: datetime | None = None,
) -> int:
    """Make deliveries that a sender holds pending again, without counting an attempt. Return the count.

    Args:
        ids: only these; None: all.
        until: only under a lease that ends then; after a rollback, SQLite gives the same ids to other deliveries.
    """
    uncounted = {
        "attempt": deliveries.c.attempt - 1,
        "replays": deliveries.c.replays - case((deliveries.c.trigger.is_not(None), 1), else_=0),
    }
    chosen = deliveries.c.worker == worker
    if ids is not None:
        chosen &= deliveries.c.id.in_(ids)
    if until is not None:
        chosen &= deliveries.c.lease_until == until
    return _make_pending(connection, chosen, now, **uncounted)


def _make_pending(connection: Connection, chosen: ColumnElement[bool], now: datetime, **values: Any) -> int:
    is_sending = has_state(deliveries.c.state, "sending")
    statement = (
        update(deliveries)
        .where(skip_locked(dialect_of(connection), deliveries, is_sending, chosen))
        .values(state="pending", due_at=now, lease_until=None, worker=None, **values)
    )
    return connection.execute(statement).rowcount
