"""Deliveries made pending again, and those written that were never owed: span by span, which bounds a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Connection, bindparam, func, select, text, update

from pipeline.domain.delivery import MANUAL
from pipeline.storage.instant import Instant
from pipeline.storage.lanes import lane_of
from pipeline.storage.locks import keep, unlocked
from pipeline.storage.tables import deliveries, endpoints, events


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which deliveries: all that every condition holds for.

    Args:
        since, until: when they came to their end; `until` is not included.
        of_disabled: those to endpoints that are disabled instead of the others: they would only be paused.
    """

    states: Sequence[str]
    batch_id: int | None = None
    origin: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    of_disabled: bool = False

    @property
    def position(self) -> Column[int]:
        """What spans are counted by: the events of one batch, or all deliveries."""
        return deliveries.c.id if self.batch_id is None else deliveries.c.seq

    def conditions(self, low: int, high: int) -> list[ColumnElement[bool]]:
        """Return what holds for the chosen ones at positions from `low` up to, not including, `high`."""
        known, disabled = deliveries.c, select(endpoints.c.origin).where(endpoints.c.disabled_at.is_not(None))
        # A callback is given up days after its event: an outage is told by when that was.
        ended_at = func.coalesce(known.finished_at, known.created_at)
        found = [
            self.position >= low,
            self.position < high,
            known.state.in_(self.states),
            known.origin.in_(disabled) if self.of_disabled else known.origin.not_in(disabled),
        ]
        if self.batch_id is not None:
            found.append(known.batch_id == self.batch_id)
        if self.origin is not None:
            found.append(known.origin == self.origin)
        if self.since is not None:
            found.append(ended_at >= self.since)
        if self.until is not None:
            found.append(ended_at < self.until)
        return found


def last_position(connection: Connection, chosen: Chosen) -> int:
    """Return the highest position there is; 0 where there is none."""
    query = select(func.max(chosen.position))
    if chosen.batch_id is not None:
        query = query.where(deliveries.c.batch_id == chosen.batch_id)
    return int(connection.scalar(query) or 0)


def count(connection: Connection, chosen: Chosen, low: int, high: int) -> int:
    """Return how many of a span are chosen."""
    query = select(func.count()).select_from(deliveries).where(*chosen.conditions(low, high))
    return int(connection.scalar(query) or 0)


def count_by_origin(connection: Connection, chosen: Chosen, low: int, high: int) -> dict[str, int]:
    """The same, by endpoint."""
    query = select(deliveries.c.origin, func.count()).where(*chosen.conditions(low, high)).group_by(deliveries.c.origin)
    return {origin: number for origin, number in connection.execute(query)}


def recover(connection: Connection, chosen: Chosen, low: int, high: int, now: datetime) -> int:
    """Make the chosen ones of a span pending, due now, by request. Return how many.

    Bundles stay what they are: the others of a chosen one's bundle are made pending with it.
    """
    values = {"state": "pending", "due_at": now, "finished_at": None, "trigger": MANUAL}
    kept = keep(connection, _batches(connection, chosen, low, high))
    mine = unlocked(connection, deliveries, *chosen.conditions(low, high), deliveries.c.batch_id.in_(kept))
    statement = update(deliveries).where(mine).values(**values)
    found = connection.execute(statement.returning(deliveries.c.bundle_id, deliveries.c.is_alone)).all()
    bundled = sorted({row.bundle_id for row in found if row.bundle_id is not None and not row.is_alone})
    if bundled:
        others = (
            deliveries.c.bundle_id.in_(bundled),
            deliveries.c.is_alone.is_(False),
            deliveries.c.state.in_(chosen.states),
            deliveries.c.batch_id.in_(kept),
        )
        connection.execute(update(deliveries).where(*others).values(**values))
    return len(found)


def _batches(connection: Connection, chosen: Chosen, low: int, high: int) -> set[int]:
    """Return whose deliveries the chosen ones of a span are, and those that travel with them."""
    conditions, travelling = chosen.conditions(low, high), deliveries.alias("travelling")
    found = set(connection.scalars(select(deliveries.c.batch_id).where(*conditions).distinct()))
    bundled = select(deliveries.c.bundle_id).where(*conditions, deliveries.c.bundle_id.is_not(None)).distinct()
    others = select(travelling.c.batch_id).where(travelling.c.bundle_id.in_(bundled)).distinct()
    return found.union(connection.scalars(others))


_MISSING = """
    FROM events e
    WHERE e.batch_id = :batch_id AND e.seq >= :low AND e.seq < :high
        AND (e.type LIKE 'item.%' OR e.type = 'batch.completed' AND :of_batch = 1)
        AND NOT EXISTS
            (SELECT 1 FROM deliveries d WHERE d.batch_id = e.batch_id AND d.seq = e.seq AND d.url = :url)"""

_COUNT_MISSING = text(f"SELECT count(*) {_MISSING}")

# Whoever writes the same at the same time writes it first, and this passes over it.
_OWE_MISSING = text(
    f"""
    INSERT INTO deliveries (batch_id, seq, url, origin, state, due_at, created_at, lane)
    SELECT e.batch_id, e.seq, :url, :origin, 'pending', :now, :now, {lane_of(":origin", ":batch_id")}
    {_MISSING} ORDER BY e.seq
    ON CONFLICT (batch_id, seq, url) DO NOTHING
    """
).bindparams(bindparam("now", type_=Instant))


@dataclass(frozen=True, slots=True)
class Missing:
    """The events of a batch that were never owed to a URL.

    Args:
        of_batch: those of the batch itself as well, beside those of its items.
    """

    batch_id: int
    url: str
    origin: str
    of_batch: bool = False

    def parameters(self, low: int, high: int) -> dict[str, object]:
        of_batch = int(self.of_batch)
        return {"batch_id": self.batch_id, "url": self.url, "of_batch": of_batch, "low": low, "high": high}


def last_event(connection: Connection, batch_id: int) -> int:
    """Return the `seq` of a batch's last event; 0 where it has none."""
    return int(connection.scalar(select(func.max(events.c.seq)).where(events.c.batch_id == batch_id)) or 0)


def count_missing(connection: Connection, missing: Missing, low: int, high: int) -> int:
    """Return how many events of a span are missing."""
    return int(connection.scalar(_COUNT_MISSING, missing.parameters(low, high)) or 0)


def owe_missing(connection: Connection, missing: Missing, low: int, high: int, now: datetime) -> int:
    """Write what is missing of a span, due now. Return how many; none where the batch was pruned meanwhile."""
    if not keep(connection, [missing.batch_id]):
        return 0
    parameters = {**missing.parameters(low, high), "origin": missing.origin, "now": now}
    return connection.execute(_OWE_MISSING, parameters).rowcount
