"""Endpoints: what is known of each scheme, host and port that receives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_, select, update

from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, first, rows
from pipeline.database.tables import endpoints
from pipeline.delivery.rules.breaker import BreakerState


def lock(connection: Connection, origins: Sequence[str]) -> list[Row]:
    """Lock what is known of endpoints, in the order of their names, before any of it changes. Return it."""
    chosen = select(endpoints).where(endpoints.c.origin.in_(origins)).order_by(endpoints.c.origin)
    return rows(connection.execute(chosen.with_for_update()))


def stay_disabled(connection: Connection, origins: Sequence[str]) -> list[str]:
    """Return which of these endpoints are disabled and stay so to the end of the transaction.

    One that another transaction is just changing is left out: it may be enabled there.
    """
    chosen = select(endpoints.c.origin).where(endpoints.c.origin.in_(origins), endpoints.c.disabled_at.is_not(None))
    return list(connection.scalars(chosen.with_for_update(read=True, skip_locked=True)))


def probe(connection: Connection, origin: str, lost_at: datetime, now: datetime) -> None:
    """Open → half open: the one request that is let through is under way, or lost at the instant `lost_at`."""
    _update(connection, origin, breaker=BreakerState.HALF_OPEN.value, open_until=lost_at, updated_at=now)


def charge(connection: Connection, origin: str, paid_until: datetime, now: datetime) -> None:
    """Note until when the requests that an endpoint's rate has let start are paid for."""
    _update(connection, origin, paid_until=paid_until, updated_at=now)


def change(connection: Connection, origin: str, settings: Mapping[str, Any], now: datetime) -> None:
    """Store what is configured for an endpoint that has a row."""
    _update(connection, origin, **settings, updated_at=now)


def _update(connection: Connection, origin: str, **values: Any) -> None:
    connection.execute(update(endpoints).where(endpoints.c.origin == origin).values(**values))


def disable(connection: Connection, origin: str, reason: str, now: datetime) -> bool:
    """Stop calling an endpoint; False where it was disabled before."""
    statement = (
        dialect_of(connection)
        .upsert(endpoints)
        .values(origin=origin, disabled_reason=reason, disabled_at=now, updated_at=now)
    )
    given = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[endpoints.c.origin],
        set_={name: given[name] for name in ("disabled_reason", "disabled_at", "updated_at")},
        where=endpoints.c.disabled_at.is_(None),
    )
    # Not by rowcount: for an upsert, not every driver knows it.
    return connection.scalar(statement.returning(endpoints.c.origin)) is not None


#: An endpoint that is enabled begins anew: its failures count no more, and its backlog is released at a ramp.
_HEALTHY = {
    "not_before": None,
    "breaker": BreakerState.CLOSED.value,
    "consecutive_failures": 0,
    "trips": 0,
    "window_started_at": None,
    "window_attempts": 0,
    "window_failures": 0,
    "failing_since": None,
    "failing_events": 0,
    "warned": 0,
}


def enable(connection: Connection, origin: str, now: datetime) -> bool:
    """Call an endpoint again, at once; False where it was neither disabled nor left alone."""
    is_left_alone = or_(
        endpoints.c.disabled_at.is_not(None), endpoints.c.breaker != "closed", endpoints.c.not_before > now
    )
    statement = (
        update(endpoints)
        .where(endpoints.c.origin == origin, is_left_alone)
        .values(disabled_reason=None, disabled_at=None, closed_at=now, updated_at=now, **_HEALTHY)
    )
    return connection.execute(statement).rowcount == 1


def get(connection: Connection, origin: str) -> Row | None:
    """Return what is known of an endpoint."""
    return first(connection.execute(select(endpoints).where(endpoints.c.origin == origin)))


def is_any_disabled(connection: Connection) -> bool:
    """Say whether an endpoint is disabled."""
    query = select(endpoints.c.origin).where(endpoints.c.disabled_at.is_not(None)).limit(1)
    return connection.scalar(query) is not None


def known(connection: Connection) -> list[Row]:
    """Return every endpoint that ever failed or was configured, by origin."""
    return rows(connection.execute(select(endpoints).order_by(endpoints.c.origin)))


def troubled(connection: Connection, limit: int) -> list[Row]:
    """Return endpoints that fail or are disabled, by origin."""
    is_troubled = or_(endpoints.c.disabled_at.is_not(None), endpoints.c.failing_since.is_not(None))
    return rows(connection.execute(select(endpoints).where(is_troubled).order_by(endpoints.c.origin).limit(limit)))
