"""Deliveries as people see them: listed, shown, replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, func, select, update

from pipeline.database.row import Row, first, rows
from pipeline.database.tables import batches, bundles, deliveries, endpoints, events, items
from pipeline.delivery.rules.delivery import MANUAL, DeliveryState

#: What is under way is left alone: its sender would record over it.
_REPLAYABLE = tuple(state.value for state in DeliveryState if state is not DeliveryState.SENDING)
_OF_ENDPOINT = ("disabled_reason", "disabled_at", "breaker", "open_until", "not_before")
_WAITING = (DeliveryState.PENDING.value, DeliveryState.PAUSED.value)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What holds for deliveries that are listed; what is None, or empty, is not asked for.

    Args:
        batch_ids: each of these; two different ones fit none.
        item_id: of the event.
        since: owed since then.
        before: only ids below.
    """

    batch_ids: Sequence[int] = ()
    state: str | None = None
    origin: str | None = None
    item_id: int | None = None
    url: str | None = None
    bundle_id: int | None = None
    seq: int | None = None
    since: datetime | None = None
    before: int | None = None

    def clauses(self) -> list[ColumnElement[bool]]:
        equal: list[tuple[Column[Any], Any]] = [
            *((deliveries.c.batch_id, each) for each in self.batch_ids),
            (deliveries.c.state, self.state),
            (deliveries.c.origin, self.origin),
            (events.c.item_id, self.item_id),
            (deliveries.c.url, self.url),
            (deliveries.c.bundle_id, self.bundle_id),
            (deliveries.c.seq, self.seq),
        ]
        found = [column == value for column, value in equal if value is not None]
        if self.since is not None:
            found.append(deliveries.c.created_at >= self.since)
        if self.before is not None:
            found.append(deliveries.c.id < self.before)
        return found


def newest(connection: Connection, conditions: Conditions, limit: int) -> list[Row]:
    """Return deliveries, newest first."""
    query = _rows().where(*conditions.clauses()).order_by(deliveries.c.id.desc()).limit(limit)
    return rows(connection.execute(query))


def bundle(connection: Connection, webhook_id: str) -> int | None:
    """Return the bundle of that webhook id; None where there is none."""
    found: int | None = connection.scalar(select(bundles.c.id).where(bundles.c.webhook_id == webhook_id))
    return found


def get(connection: Connection, delivery_id: int) -> Row | None:
    """Return a delivery with its event, its item's key and how its endpoint is."""
    return first(connection.execute(_rows().where(deliveries.c.id == delivery_id)))


def is_any(connection: Connection, origin: str) -> bool:
    """Say whether anything is or was owed to an endpoint; where nothing was, every delivery is looked at."""
    return connection.scalar(select(deliveries.c.id).where(deliveries.c.origin == origin).limit(1)) is not None


def next_due_at(connection: Connection, batch_id: int) -> datetime | None:
    """Return when the next pending delivery of a batch is due; None where none is pending."""
    query = select(func.min(deliveries.c.due_at)).where(
        deliveries.c.batch_id == batch_id, deliveries.c.state == DeliveryState.PENDING.value
    )
    found: datetime | None = connection.scalar(query)
    return found


def waiting(connection: Connection) -> tuple[int, int, datetime | None]:
    """Return how many deliveries are pending or being sent, how many of those are sent, and when the next is due."""
    pending = deliveries.c.state == DeliveryState.PENDING.value
    number, due_at = connection.execute(select(func.count(), func.min(deliveries.c.due_at)).where(pending)).one()
    sending = connection.scalar(select(func.count()).where(deliveries.c.state == DeliveryState.SENDING.value)) or 0
    return number + sending, sending, due_at


def replay(connection: Connection, row: Row, now: datetime) -> bool:
    """Any state but sending → pending, due now, by request; False where it is being sent or is gone.

    The event stays the same, hence its id and body. A delivery that came to its end in a bundle leaves it, and takes
    its own event's id; while the bundle waits, the whole of it is sent.
    """
    whole = row["bundle_id"] is not None and not row["is_alone"] and row["state"] in _WAITING
    if whole:
        same_bundle = (deliveries.c.bundle_id == row["bundle_id"]) & deliveries.c.is_alone.is_(False)
        statement = update(deliveries).where(same_bundle, deliveries.c.state.in_(_WAITING))
    else:
        statement = (
            update(deliveries)
            .where(deliveries.c.id == row["id"], deliveries.c.state.in_(_REPLAYABLE))
            .values(is_alone=deliveries.c.bundle_id.is_not(None))
        )
    again = {"state": DeliveryState.PENDING.value, "due_at": now, "finished_at": None, "trigger": MANUAL}
    return connection.execute(statement.values(**again)).rowcount > 0


def _rows() -> Select[tuple[object, ...]]:
    same_event = (events.c.batch_id == deliveries.c.batch_id) & (events.c.seq == deliveries.c.seq)
    return (
        select(
            deliveries,
            events.c.type,
            events.c.item_id,
            batches.c.public_id,
            items.c.key,
            *(endpoints.c[name] for name in _OF_ENDPOINT),
            bundles.c.webhook_id.label("bundle"),
        )
        .join(events, same_event)
        .join(batches, batches.c.id == deliveries.c.batch_id)
        .outerjoin(items, items.c.id == events.c.item_id)
        .outerjoin(endpoints, endpoints.c.origin == deliveries.c.origin)
        .outerjoin(bundles, bundles.c.id == deliveries.c.bundle_id)
    )
