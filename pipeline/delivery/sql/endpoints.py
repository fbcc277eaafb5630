"""Endpoints: the settings and state of each scheme, host and port that receives deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, or_, select, text, update
from sqlalchemy.sql.selectable import TextualSelect

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.row import Row, first, rows
from pipeline.database.tables import endpoints
from pipeline.database.text_columns import with_columns
from pipeline.delivery.rules.breaker import BreakerState


def lock(connection: Connection, origins: Sequence[str]) -> list[Row]:
    """Lock the rows of endpoints in the order of their names, before any of them changes. Return them."""
    chosen = select(endpoints).where(endpoints.c.origin.in_(origins)).order_by(endpoints.c.origin)
    return rows(connection.execute(chosen.with_for_update()))


def lock_disabled(connection: Connection, origins: Sequence[str]) -> list[str]:
    """Return which of these endpoints are disabled, and keep them disabled until the transaction ends.

    An endpoint that another transaction is changing is left out: it may become enabled.
    """
    chosen = select(endpoints.c.origin).where(endpoints.c.origin.in_(origins), endpoints.c.disabled_at.is_not(None))
    return list(connection.scalars(chosen.with_for_update(read=True, skip_locked=True)))


def begin_probe(connection: Connection, origin: str, lost_at: datetime, now: datetime) -> None:
    """Set the breaker of an endpoint from open to half open, for a single request.

    Args:
        lost_at: when the request is considered lost.
    """
    _update(connection, origin, breaker=BreakerState.HALF_OPEN.value, open_until=lost_at, updated_at=now)


def charge_rate(connection: Connection, origin: str, paid_until: datetime, now: datetime) -> None:
    """Store the time until which the requests already started use up an endpoint's rate."""
    _update(connection, origin, paid_until=paid_until, updated_at=now)


def update_settings(connection: Connection, origin: str, settings: Mapping[str, Any], now: datetime) -> None:
    """Store settings of an endpoint that has a row."""
    _update(connection, origin, **settings, updated_at=now)


def _update(connection: Connection, origin: str, **values: Any) -> None:
    connection.execute(update(endpoints).where(endpoints.c.origin == origin).values(**values))


def disable(connection: Connection, origin: str, reason: str, now: datetime) -> bool:
    """Disable an endpoint. Return False if it was disabled already."""
    statement = (
        dialect_of(connection)
        .upsert(endpoints)
        .values(origin=origin, disabled_reason=reason, disabled_at=now, updated_at=now)
    )
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[endpoints.c.origin],
        set_={name: new[name] for name in ("disabled_reason", "disabled_at", "updated_at")},
        where=endpoints.c.disabled_at.is_(None),
    )
    # Not by rowcount, which some drivers do not report for an upsert.
    return connection.scalar(statement.returning(endpoints.c.origin)) is not None


#: An enabled endpoint starts anew: its failures no longer count, and its backlog is released at a growing rate.
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
    """Enable an endpoint, so that it is called again at once. Return False if nothing prevented calls to it."""
    is_held_back = or_(
        endpoints.c.disabled_at.is_not(None), endpoints.c.breaker != "closed", endpoints.c.not_before > now
    )
    statement = (
        update(endpoints)
        .where(endpoints.c.origin == origin, is_held_back)
        .values(disabled_reason=None, disabled_at=None, closed_at=now, updated_at=now, **_HEALTHY)
    )
    return connection.execute(statement).rowcount == 1


def get(connection: Connection, origin: str) -> Row | None:
    """Return the row of an endpoint, or None if it has none."""
    return first(connection.execute(select(endpoints).where(endpoints.c.origin == origin)))


_SETTINGS = (
    "origin", "disabled_at", "not_before", "breaker", "closed_at", "rate", "ordering", "coalesce_items",
    "in_flight_cap", "schedule", "secrets", "headers",
)  # fmt: skip


@cache
def _settings(dialect: Dialect) -> TextualSelect:
    of_origins = dialect.in_list_sql("origin", "origins", "text")
    query = text(f"SELECT {', '.join(_SETTINGS)} FROM endpoints WHERE {of_origins}")
    return with_columns(query, _SETTINGS, {"disabled_at", "not_before", "closed_at"})


def find_settings(connection: Connection, origins: Sequence[str]) -> list[Row]:
    """Return what decides whether and how these endpoints may be called. Those without a row are left out."""
    dialect = dialect_of(connection)
    return rows(connection.execute(_settings(dialect), {"origins": dialect.encode_list(origins)}))


def is_any_disabled(connection: Connection) -> bool:
    """Return whether any endpoint is disabled."""
    query = select(endpoints.c.origin).where(endpoints.c.disabled_at.is_not(None)).limit(1)
    return connection.scalar(query) is not None


def find_all(connection: Connection) -> list[Row]:
    """Return every endpoint that ever failed or was configured, by origin."""
    return rows(connection.execute(select(endpoints).order_by(endpoints.c.origin)))


def find_troubled(connection: Connection, limit: int) -> list[Row]:
    """Return up to `limit` endpoints that are failing or disabled, by origin."""
    is_troubled = or_(endpoints.c.disabled_at.is_not(None), endpoints.c.failing_since.is_not(None))
    return rows(connection.execute(select(endpoints).where(is_troubled).order_by(endpoints.c.origin).limit(limit)))
