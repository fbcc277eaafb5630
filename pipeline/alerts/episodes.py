"""Open and resolve alerts, in a transaction of the caller.

What an alert reports and the alert are committed together. Channels are notified after the commit, by the process
that holds the lease on alerts, so that opening an alert locks nothing but its row.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from pipeline.alerts.rules.episode import Episode, new_alert_id
from pipeline.alerts.sql import alerts


def open_episode(connection: Connection, episode: Episode, now: datetime) -> str | None:
    """Let an alert fire, unless one of its key does already, in this transaction or another one.

    Args:
        now: since when.

    Returns:
        Its public id; None if an alert of its key fires already.
    """
    public_id = new_alert_id()
    return public_id if alerts.add_firing(connection, public_id, episode, now) else None


def resolve_episode(connection: Connection, key: str, reason: str, now: datetime) -> bool:
    """Resolve the alert of a key.

    Args:
        reason: a word for people and programs, such as `over`, `resumed`, `batch_ended`.

    Returns:
        Whether an alert of this key was firing.
    """
    return alerts.resolve(connection, key, reason, now)


def record_past(connection: Connection, episode: Episode, opened_at: datetime, now: datetime) -> str:
    """Record an alert that is over and that channels were told of without the database. Return its public id."""
    public_id = new_alert_id()
    alerts.add_over(connection, public_id, episode, opened_at, now)
    return public_id
