"""The installation's own log, of batch 0, and the deliveries of its events to channels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, rows
from pipeline.database.tables import attempts, deliveries, endpoints, events
from pipeline.delivery.rules.delivery import DeliveryState

_IS_OURS = deliveries.c.batch_id == 0


def has_event(connection: Connection, seq: int) -> bool:
    """Return whether the log has an event."""
    query = select(events.c.seq).where(events.c.batch_id == 0, events.c.seq == seq)
    return connection.scalar(query) is not None


def count_events(connection: Connection, type_: str, since: datetime) -> int:
    """Return how many events of a type were written since an instant."""
    is_counted = events.c.batch_id == 0, events.c.type == type_, events.c.created_at > since
    return int(connection.scalar(select(func.count()).select_from(events).where(*is_counted)) or 0)


def find_of(connection: Connection, seq: int) -> list[tuple[str, str]]:
    """Return (URL, state) of the deliveries of an event."""
    query = select(deliveries.c.url, deliveries.c.state).where(_IS_OURS, deliveries.c.seq == seq)
    return [(url, state) for url, state in connection.execute(query)]


def find_delivered(connection: Connection, origin: str, seqs: Sequence[int]) -> list[int]:
    """Return which of these events a channel has accepted."""
    is_delivered = deliveries.c.origin == origin, deliveries.c.state == DeliveryState.DELIVERED.value
    query = select(deliveries.c.seq).where(_IS_OURS, deliveries.c.seq.in_(seqs), *is_delivered)
    return list(connection.scalars(query.order_by(deliveries.c.seq)))


def find_with_answers(connection: Connection, seqs: Sequence[int]) -> list[Row]:
    """Return the deliveries of events with how they went, by channel and event."""
    columns = (
        deliveries.c.seq, deliveries.c.origin, deliveries.c.state, deliveries.c.attempt, deliveries.c.last_status,
        deliveries.c.last_error, deliveries.c.due_at, deliveries.c.finished_at,
    )  # fmt: skip
    query = select(*columns).where(_IS_OURS, deliveries.c.seq.in_(seqs))
    return rows(connection.execute(query.order_by(deliveries.c.origin, deliveries.c.seq)))


def set_rate(connection: Connection, origin: str, rate: float | None, now: datetime) -> None:
    """Store how often a channel may be called."""
    query = select(endpoints.c.rate).where(endpoints.c.origin == origin)
    if connection.scalar(query) == rate:
        return
    values = {"rate": rate, "burst": None if rate is None else 1, "updated_at": now}
    statement = dialect_of(connection).upsert(endpoints).values(origin=origin, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=[endpoints.c.origin], set_=values))


def delete_events(connection: Connection, seqs: Sequence[int]) -> None:
    """Delete events with their deliveries and attempts."""
    own = select(deliveries.c.id).where(_IS_OURS, deliveries.c.seq.in_(seqs))
    connection.execute(delete(attempts).where(attempts.c.delivery_id.is_not(None), attempts.c.delivery_id.in_(own)))
    connection.execute(delete(deliveries).where(_IS_OURS, deliveries.c.seq.in_(seqs)))
    connection.execute(delete(events).where(events.c.batch_id == 0, events.c.seq.in_(seqs)))
