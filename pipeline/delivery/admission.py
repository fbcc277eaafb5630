"""Decide which endpoints may be called now, and how often: pauses, breakers, rates.

Most endpoints need no decision and cost nothing. Those with a rate, an order, or a breaker that is not closed are
decided on with their rows locked, so that any number of senders keep one rate, send one probe, and advance a lane once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from pipeline.database.row import Row
from pipeline.delivery.rules.breaker import BreakerState, ramp
from pipeline.delivery.rules.capacity import Capacity
from pipeline.delivery.rules.rate import Rate
from pipeline.delivery.sql import endpoints


@dataclass(frozen=True, slots=True)
class Admission:
    """What one claim may take.

    Args:
        shares: maximum number of deliveries, by endpoint.
        rows: locked rows of endpoints with a rate, a probe or an order.
        probes: endpoints that get a probe.
    """

    shares: Mapping[str, int]
    rows: Mapping[str, Row] = field(default_factory=dict)
    probes: frozenset[str] = frozenset()


def callable_at(row: Row, now: datetime) -> datetime:
    """Return when an endpoint with pending deliveries may be called next."""
    allowed = _allowed_at(row, now)
    due_at: datetime = row["due_at"]
    return due_at if allowed is None else max(due_at, allowed)


def is_unrestricted(row: Row, now: datetime) -> bool:
    """Return whether nothing but free slots decides how often an endpoint may be called, and in which order."""
    return (
        row["disabled_at"] is None
        and not _is_guarded(row)
        and row["coalesce_items"] is None
        and (row["not_before"] is None or row["not_before"] <= now)
        and ramp(row["closed_at"], now) is None
    )


def cap(row: Row, room: Capacity, now: datetime) -> int | None:
    """Return how many requests may be in flight at an endpoint; None: the default."""
    if not _is_closed(row):
        return 1
    slope, configured = ramp(row["closed_at"], now), row["in_flight_cap"]
    return configured if slope is None else min(slope, configured or room.cap)


def admit(connection: Connection, found: Sequence[Row], shares: Mapping[str, int], now: datetime) -> Admission:
    """Reduce shares to what rates and breakers allow."""
    guarded = sorted(row["origin"] for row in found if row["origin"] in shares and _is_guarded(row))
    if not guarded:
        return Admission(shares)
    rows = {row["origin"]: row for row in endpoints.lock(connection, guarded)}
    allowed = {origin: _most(rows.get(origin), share, now) for origin, share in shares.items()}
    return Admission(
        shares={origin: share for origin, share in allowed.items() if share},
        rows=rows,
        probes=frozenset(origin for origin, row in rows.items() if allowed[origin] and not _is_closed(row)),
    )


def charge(
    connection: Connection, admission: Admission, taken: Mapping[str, int], now: datetime, lost_at: datetime
) -> datetime | None:
    """Charge endpoints for what was claimed.

    Args:
        taken: number of requests, by endpoint.
        lost_at: when a probe without an answer counts as lost.

    Returns:
        When the first endpoint that used up its rate may be called again.
    """
    next_at: datetime | None = None
    for origin, row in admission.rows.items():
        count, rate = taken.get(origin, 0), _rate(row)
        if count and origin in admission.probes:
            endpoints.begin_probe(connection, origin, lost_at, now)
        if count and rate is not None:
            paid_until = rate.charge(row["paid_until"], now, count)
            endpoints.charge_rate(connection, origin, paid_until, now)
            again = rate.next_at(paid_until, now)
            next_at = again if next_at is None else min(next_at, again)
    return next_at


def _allowed_at(row: Row, now: datetime) -> datetime | None:
    rate = _rate(row)
    times = [
        row["not_before"],
        None if _is_closed(row) else row["open_until"],
        None if rate is None else rate.next_at(row["paid_until"], now),
    ]
    return max((at for at in times if at is not None), default=None)


def _most(row: Row | None, share: int, now: datetime) -> int:
    if row is None:
        return share
    allowed = _allowed_at(row, now)
    if row["disabled_at"] is not None or (allowed is not None and allowed > now):
        return 0
    rate = _rate(row)
    most = share if rate is None else min(share, rate.free(row["paid_until"], now))
    return most if _is_closed(row) else min(most, 1)


def _is_guarded(row: Row) -> bool:
    return row["rate"] is not None or row["ordering"] is not None or not _is_closed(row)


def _is_closed(row: Row) -> bool:
    # None: the endpoint has no row.
    return row["breaker"] in (None, BreakerState.CLOSED)


def _rate(row: Row) -> Rate | None:
    return Rate.of(row["rate"], row["burst"])
