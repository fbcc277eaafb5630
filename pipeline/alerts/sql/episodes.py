"""Alerts as rows. At most one row of a key fires, which a unique index enforces."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text, update

from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, rows
from pipeline.database.tables import alerts
from pipeline.domain.alerts.alert import AlertState


def insert_firing(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Insert an alert that fires. Return False if one with its key fires already."""
    statement = (
        dialect_of(connection)
        .upsert(alerts)
        .values(**row, state=AlertState.FIRING.value)
        .on_conflict_do_nothing(index_elements=[alerts.c.key], index_where=text("state = 'firing'"))
        .returning(alerts.c.id)
    )
    return connection.scalar(statement) is not None


def resolve(connection: Connection, key: str, now: datetime, reason: str) -> Row | None:
    """Resolve the alert with this key. Return its row, or None if none fires."""
    statement = (
        update(alerts)
        .where(alerts.c.key == key, alerts.c.state == "firing")
        .values(state=AlertState.RESOLVED.value, resolved_at=now, reason=reason)
        .returning(alerts)
    )
    found = rows(connection.execute(statement))
    return found[0] if found else None


def find_firing_keys(connection: Connection, batch_id: int) -> list[str]:
    """Return the keys of the alerts about a batch that fire."""
    query = select(alerts.c.key).where(alerts.c.batch_id == batch_id, alerts.c.state == "firing")
    return list(connection.scalars(query.order_by(alerts.c.id)))
