"""Deleting a batch that was not accepted."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from pipeline.batches.sql import exports
from pipeline.batches.sql.items import id_range
from pipeline.database.tables import batch_parts, batches, items


def delete_unaccepted(connection: Connection, batch_id: int, limit: int) -> int:
    """Delete up to `limit` items of a batch that is still accepting, or once it has none, the batch and its parts.

    Return the number of items deleted.
    """
    accepting = select(batches.c.id).where(batches.c.id == batch_id, batches.c.state == "accepting")
    chosen = select(items.c.id).where(items.c.id.between(*id_range(batch_id)), accepting.exists())
    chosen = chosen.order_by(items.c.id).limit(limit)
    deleted = connection.execute(delete(items).where(items.c.id.in_(chosen))).rowcount
    if not deleted:
        connection.execute(delete(batch_parts).where(batch_parts.c.batch_id == batch_id, accepting.exists()))
        if connection.scalar(accepting) is not None:
            exports.delete_of(connection, batch_id)
        connection.execute(delete(batches).where(batches.c.id == batch_id, batches.c.state == "accepting"))
    return deleted
