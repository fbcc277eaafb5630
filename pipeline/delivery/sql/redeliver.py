"""Deliveries made pending again, and those written that were never owed: span by span, which bounds a transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Subquery, bindparam, func, select, text, update

from pipeline.database.dialect import dialect_of
from pipeline.database.instant import Instant
from pipeline.database.locks import in_order, keep, unlocked
from pipeline.database.tables import deliveries, endpoints, events
from pipeline.delivery.rules.delivery import MANUAL
from pipeline.delivery.sql.lanes import lane_of


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

    def span(self, low: int, high: int) -> Subquery:
        """Return deliveries at positions from `low` up to, not including, `high`, chosen or not.

        Its own query, which is not merged with that around it: otherwise statistics may have PostgreSQL look for the
        rest of what is asked for first, through all deliveries and for each span again.
        """
        inside = [self.position >= low, self.position < high]
        if self.batch_id is not None:
            inside.append(deliveries.c.batch_id == self.batch_id)
        return select(deliveries).where(*inside).offset(0).subquery("span")

    def conditions(self, span: Subquery) -> list[ColumnElement[bool]]:
        """Return what holds for the chosen ones of a span."""
        known, disabled = span.c, select(endpoints.c.origin).where(endpoints.c.disabled_at.is_not(None))
        # A callback is given up days after its event: an outage is told by when that was.
        ended_at = func.coalesce(known.finished_at, known.created_at)
        found: list[ColumnElement[bool]] = [
            known.state.in_(self.states),
            known.origin.in_(disabled) if self.of_disabled else known.origin.not_in(disabled),
        ]
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
    return sum(count_by_origin(connection, chosen, low, high).values())


def count_by_origin(connection: Connection, chosen: Chosen, low: int, high: int) -> dict[str, int]:
    """The same, by endpoint."""
    span = chosen.span(low, high)
    query = select(span.c.origin, func.count()).where(*chosen.conditions(span)).group_by(span.c.origin)
    return {origin: number for origin, number in connection.execute(query)}


def recover(connection: Connection, chosen: Chosen, low: int, high: int, now: datetime) -> int:
    """Make the chosen ones of a span pending, due now, by request. Return how many.

    Bundles stay what they are: the others of a chosen one's bundle are made pending with it.
    """
    span = chosen.span(low, high)
    query = select(span.c.id, span.c.batch_id, span.c.bundle_id).where(*chosen.conditions(span))
    mine = connection.execute(query).all()
    others = _travelling(connection, {row.bundle_id for row in mine if row.bundle_id is not None})
    kept = set(keep(connection, {row.batch_id for row in (*mine, *others)}))
    found = _again(connection, chosen.states, [row.id for row in mine if row.batch_id in kept], now)
    bundled = {row.bundle_id for row in found if not row.is_alone}
    left = [row.id for row in others if row.batch_id in kept and row.bundle_id in bundled]
    _again(connection, chosen.states, left, now, is_patient=True)
    return len(found)


def _travelling(connection: Connection, bundled: Collection[int]) -> Sequence[Any]:
    """Return the deliveries that travel in these bundles."""
    if not bundled:
        return []
    dialect = dialect_of(connection)
    query = select(deliveries.c.id, deliveries.c.batch_id, deliveries.c.bundle_id).where(
        dialect.is_in_list(deliveries.c.bundle_id, "ids"), deliveries.c.is_alone.is_(False)
    )
    return connection.execute(query, {"ids": dialect.encode_list(sorted(bundled))}).all()


def _again(
    connection: Connection, states: Sequence[str], ids: Sequence[int], now: datetime, *, is_patient: bool = False
) -> Sequence[Any]:
    """Make deliveries pending that still are in one of these states, and return them.

    What another transaction holds is waited for with `is_patient`, and else passed over.
    """
    if not ids:
        return []
    dialect = dialect_of(connection)
    # By nothing but their ids, whatever statistics say of states.
    conditions = dialect.is_in_list(deliveries.c.id, "ids"), func.coalesce(deliveries.c.state, "").in_(states)
    chosen = in_order(dialect, deliveries, *conditions) if is_patient else unlocked(dialect, deliveries, *conditions)
    statement = (
        update(deliveries)
        .where(chosen)
        .values(state="pending", due_at=now, finished_at=None, trigger=MANUAL)
        .returning(deliveries.c.bundle_id, deliveries.c.is_alone)
    )
    return connection.execute(statement, {"ids": dialect.encode_list(ids)}).all()


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
