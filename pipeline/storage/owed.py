"""Deliveries as people see them: listed, shown, replayed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Select, func, select, update

from pipeline.domain.delivery import MANUAL, DeliveryState
from pipeline.storage.row import Row, first, rows
from pipeline.storage.tables import batches, bundles, deliveries, endpoints, events

#: What is under way is left alone: its sender would record over it.
_REPLAYABLE = tuple(state.value for state in DeliveryState if state is not DeliveryState.SENDING)
_WAITING = (DeliveryState.PENDING.value, DeliveryState.PAUSED.value)


def newest(
    connection: Connection,
    *,
    batch_id: int | None,
    state: str | None,
    origin: str | None,
    before: int | None,
    limit: int,
) -> list[Row]:
    """Return deliveries that all conditions hold for, newest first, with ids below `before`."""
    query = _rows().order_by(deliveries.c.id.desc()).limit(limit)
    if batch_id is not None:
        query = query.where(deliveries.c.batch_id == batch_id)
    if state is not None:
        query = query.where(deliveries.c.state == state)
    if origin is not None:
        query = query.where(deliveries.c.origin == origin)
    if before is not None:
        query = query.where(deliveries.c.id < before)
    return rows(connection.execute(query))


def get(connection: Connection, delivery_id: int) -> Row | None:
    """Return a delivery with its event and what is known of its endpoint."""
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
            endpoints.c.disabled_reason,
            bundles.c.webhook_id.label("bundle"),
        )
        .join(events, same_event)
        .join(batches, batches.c.id == deliveries.c.batch_id)
        .outerjoin(endpoints, endpoints.c.origin == deliveries.c.origin)
        .outerjoin(bundles, bundles.c.id == deliveries.c.bundle_id)
    )
