"""Deliveries for users: listing, counting and showing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, func, select

from pipeline.database.row import Row, first, rows
from pipeline.database.state_literals import has_state
from pipeline.database.tables import batches, bundles, deliveries, endpoints, events, items
from pipeline.delivery.rules.delivery import DeliveryState

_SAME_EVENT = (events.c.batch_id == deliveries.c.batch_id) & (events.c.seq == deliveries.c.seq)
_ENDPOINT_COLUMNS = ("disabled_reason", "disabled_at", "breaker", "open_until", "not_before")


@dataclass(frozen=True, slots=True)
class DeliveryFilters:
    """Filters for deliveries. One that is None or empty is not applied.

    Args:
        batch_ids: the delivery belongs to each of these batches; no delivery belongs to two.
        item_id: the item that the event is about.
        since: created at this time or later.
        before: only ids below this; pass the last id of one page to get the next.
        tenant: only deliveries of its batches.
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
    tenant: str | None = None

    def clauses(self) -> list[ColumnElement[bool]]:
        equal: list[tuple[Column[Any], Any]] = [
            *((deliveries.c.batch_id, each) for each in self.batch_ids),
            (deliveries.c.state, self.state),
            (deliveries.c.origin, self.origin),
            (events.c.item_id, self.item_id),
            (deliveries.c.url, self.url),
            (deliveries.c.bundle_id, self.bundle_id),
            (deliveries.c.seq, self.seq),
            (batches.c.tenant, self.tenant),
        ]
        found = [column == value for column, value in equal if value is not None]
        if self.since is not None:
            found.append(deliveries.c.created_at >= self.since)
        if self.before is not None:
            found.append(deliveries.c.id < self.before)
        return found


def find_newest(connection: Connection, conditions: DeliveryFilters, limit: int) -> list[Row]:
    """Return up to `limit` deliveries, newest first."""
    query = select_rows().where(*conditions.clauses()).order_by(deliveries.c.id.desc()).limit(limit)
    return rows(connection.execute(query))


def find_bundle(connection: Connection, webhook_id: str) -> int | None:
    """Return the id of the bundle with a webhook id, or None if there is none."""
    found: int | None = connection.scalar(select(bundles.c.id).where(bundles.c.webhook_id == webhook_id))
    return found


def get(connection: Connection, delivery_id: int) -> Row | None:
    """Return a delivery with its event, the key of its item and the state of its endpoint."""
    return first(connection.execute(select_rows().where(deliveries.c.id == delivery_id)))


def has_any(connection: Connection, origin: str) -> bool:
    """Return whether there is any delivery to an endpoint. If there is none, this scans all deliveries."""
    return connection.scalar(select(deliveries.c.id).where(deliveries.c.origin == origin).limit(1)) is not None


def next_due_at(connection: Connection, batch_id: int) -> datetime | None:
    """Return when the next pending delivery of a batch is due, or None if none is pending."""
    query = select(func.min(deliveries.c.due_at)).where(
        deliveries.c.batch_id == batch_id, deliveries.c.state == DeliveryState.PENDING.value
    )
    found: datetime | None = connection.scalar(query)
    return found


def count_waiting(connection: Connection) -> tuple[int, int, datetime | None]:
    """Return how many deliveries are pending or being sent, how many are being sent, and when the next is due."""
    pending = deliveries.c.state == DeliveryState.PENDING.value
    number, due_at = connection.execute(select(func.count(), func.min(deliveries.c.due_at)).where(pending)).one()
    sending = connection.scalar(select(func.count()).where(deliveries.c.state == DeliveryState.SENDING.value)) or 0
    return number + sending, sending, due_at


def count_by_state(connection: Connection, batch_id: int) -> dict[str, int]:
    """Return how many deliveries of a batch are in each state."""
    query = (
        select(deliveries.c.state, func.count())
        .where(deliveries.c.batch_id == batch_id)
        .group_by(deliveries.c.state)
        .order_by(deliveries.c.state)
    )
    return {state: count for state, count in connection.execute(query)}


def count_due(connection: Connection, now: datetime, batch_id: int | None, limit: int) -> int:
    """Return how many deliveries are due at endpoints that may be called, of one batch or of all; at most `limit`."""
    is_left_alone = select(endpoints.c.origin).where(
        endpoints.c.origin == deliveries.c.origin,
        endpoints.c.disabled_at.is_not(None) | (endpoints.c.not_before > now) | (endpoints.c.open_until > now),
    )
    due = select(deliveries.c.id).where(
        has_state(deliveries.c.state, "pending"), deliveries.c.due_at <= now, ~is_left_alone.exists()
    )
    if batch_id is not None:
        due = due.where(deliveries.c.batch_id == batch_id)
    return connection.scalar(select(func.count()).select_from(due.limit(limit).subquery())) or 0


def find_by_item(connection: Connection, batch_id: int, item_id: int) -> list[Row]:
    """Return the deliveries of an item's events, in the order of the events."""
    query = (
        select(deliveries, events.c.type)
        .join(events, _SAME_EVENT)
        .where(events.c.batch_id == batch_id, events.c.item_id == item_id)
        .order_by(deliveries.c.seq, deliveries.c.id)
    )
    return rows(connection.execute(query))


def select_rows() -> Select[tuple[object, ...]]:
    """Return the query for deliveries with their event, the key of its item and the state of their endpoint."""
    return (
        select(
            deliveries,
            events.c.type,
            events.c.item_id,
            batches.c.public_id,
            batches.c.tenant,
            items.c.key,
            *(endpoints.c[name] for name in _ENDPOINT_COLUMNS),
            bundles.c.webhook_id.label("bundle"),
        )
        .join(events, _SAME_EVENT)
        .join(batches, batches.c.id == deliveries.c.batch_id)
        .outerjoin(items, items.c.id == events.c.item_id)
        .outerjoin(endpoints, endpoints.c.origin == deliveries.c.origin)
        .outerjoin(bundles, bundles.c.id == deliveries.c.bundle_id)
    )
