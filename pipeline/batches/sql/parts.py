"""Parts of batches that are uploaded in parts, and the ranges of positions that they own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select

from pipeline.database.row import Row, first, rows
from pipeline.database.tables import POSITIONS_PER_BATCH, batch_parts, items, leases


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    """Insert a part, whose items are all stored."""
    connection.execute(insert(batch_parts).values(**row))


def find(connection: Connection, batch_id: int, number: int) -> Row | None:
    """Return a part; None if it is not stored, or not yet."""
    query = select(batch_parts).where(batch_parts.c.batch_id == batch_id, batch_parts.c.number == number)
    return first(connection.execute(query))


def find_all(connection: Connection, batch_id: int) -> list[Row]:
    """Return the parts of a batch, in their order."""
    query = select(batch_parts).where(batch_parts.c.batch_id == batch_id).order_by(batch_parts.c.number)
    return rows(connection.execute(query))


def any_exists(connection: Connection, batch_id: int) -> bool:
    """Return whether a batch has a part."""
    return bool(connection.scalar(select(exists().where(batch_parts.c.batch_id == batch_id))))


def remove(connection: Connection, batch_id: int, number: int) -> None:
    """Delete a part, but not its items."""
    connection.execute(delete(batch_parts).where(batch_parts.c.batch_id == batch_id, batch_parts.c.number == number))


def remove_items(connection: Connection, batch_id: int, after: int, last: int, limit: int) -> int:
    """Delete up to `limit` items at positions above `after`, up to `last`. Return how many."""
    start = batch_id * POSITIONS_PER_BATCH
    chosen = select(items.c.id).where(items.c.id.between(start + after + 1, start + last))
    chosen = chosen.order_by(items.c.id).limit(limit)
    return connection.execute(delete(items).where(items.c.id.in_(chosen))).rowcount


def is_held(connection: Connection, name: str, holder: str, *, lock: bool = False) -> bool:
    """Return whether a holder has a lease.

    Args:
        lock: let nobody take or release it until the transaction ends. Others may do the same at the same time.
    """
    query = select(leases.c.name).where(leases.c.name == name, leases.c.holder == holder)
    return connection.scalar(query.with_for_update(read=True) if lock else query) is not None
