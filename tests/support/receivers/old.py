"""Batches that came to their end some time ago, with a row of everything that hangs on one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, update

from pipeline.database import tables
from pipeline.database.engine import Database
from pipeline.database.tables import POSITIONS_PER_BATCH, attempts, batches, bundles, deliveries, items
from tests.support.receivers.configured import NOW, owe_items

URL = "http://127.0.0.1:8001/hook"
ORIGIN = "http://127.0.0.1:8001"
DAY = timedelta(days=1)


def end_batch(
    database: Database, batch_id: int, *, days: float = 40, count: int = 3, state: str = "delivered", url: str = URL
) -> None:
    """Write a batch that completed so many days ago, with items, attempts, and deliveries in a state."""
    at = NOW - days * DAY
    owe_items(database, url, count, batch_id=batch_id, at=at)
    with database.write() as connection:
        connection.execute(insert(items), [_item(batch_id, position, at) for position in range(1, count + 1)])
        first = batch_id * POSITIONS_PER_BATCH + 1
        failed: dict[str, Any] = {"stage": "classify", "number": 1, "outcome": "retry", "ended_at": at}
        connection.execute(insert(attempts), {**failed, "item_id": first})
        sent = select(deliveries.c.id).where(deliveries.c.batch_id == batch_id)
        for delivery in connection.scalars(sent).all():
            row = {**failed, "stage": "deliver", "outcome": "succeeded", "delivery_id": delivery}
            connection.execute(insert(attempts), row)
        connection.execute(update(deliveries).where(deliveries.c.batch_id == batch_id).values(state=state))
        values = {"state": "completed", "completed_at": at, "succeeded": count, "total": count, "next_seq": count + 1}
        connection.execute(update(batches).where(batches.c.id == batch_id).values(**values))


def _item(batch_id: int, position: int, at: datetime) -> dict[str, Any]:
    number = batch_id * POSITIONS_PER_BATCH + position
    done = {"payload": "{}", "stage": "enrich", "state": "succeeded", "created_at": at, "finished_at": at}
    return {"id": number, "batch_id": batch_id, "position": position, **done}


def bundle(database: Database, bundle_id: int, batch_ids: Sequence[int], *, url: str = URL) -> None:
    """Have all deliveries of some batches that are in no bundle travel together, after one attempt that failed."""
    with database.write() as connection:
        row = {"id": bundle_id, "webhook_id": f"msg_{bundle_id}", "url": url, "origin": ORIGIN, "created_at": NOW}
        connection.execute(insert(bundles), row)
        members = deliveries.c.batch_id.in_(batch_ids), deliveries.c.bundle_id.is_(None)
        connection.execute(update(deliveries).where(*members).values(bundle_id=bundle_id))
        tried = {"stage": "deliver", "number": 1, "outcome": "retry", "ended_at": NOW, "bundle_id": bundle_id}
        connection.execute(insert(attempts), tried)


def change(database: Database, batch_id: int, **values: Any) -> None:
    """Change the first delivery of a batch."""
    with database.write() as connection:
        first = select(func.min(deliveries.c.id)).where(deliveries.c.batch_id == batch_id).scalar_subquery()
        connection.execute(update(deliveries).where(deliveries.c.id == first).values(**values))


def number_of(database: Database) -> dict[str, int]:
    """Return how many rows each table has that has any, but for `totals`, which outlives batches."""
    with database.read() as connection:
        found = {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in tables.metadata.sorted_tables
            if table is not tables.totals
        }
    return {name: number for name, number in found.items() if number}


def ids(database: Database) -> list[int]:
    """Return the ids of the batches there are."""
    with database.read() as connection:
        return list(connection.scalars(select(batches.c.id).order_by(batches.c.id)))
