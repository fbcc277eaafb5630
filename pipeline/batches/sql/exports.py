"""The exports that a batch is submitted with. What they do is in `pipeline.exports`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from pipeline.database.tables import export_parts, exports


def add(connection: Connection, batch_id: int, targets: Sequence[str], now: datetime) -> None:
    """Insert the exports of a batch, in the transaction that inserts the batch."""
    rows = [
        {"batch_id": batch_id, "number": number, "target": target, "state": "running", "due_at": now, "created_at": now}
        for number, target in enumerate(targets, 1)
    ]
    if rows:
        connection.execute(insert(exports), rows)


def find_targets(connection: Connection, batch_id: int) -> list[str]:
    """Return the targets of a batch's exports, in the order in which they were given."""
    query = select(exports.c.target).where(exports.c.batch_id == batch_id).order_by(exports.c.number)
    return list(connection.scalars(query))


def reopen(connection: Connection, batch_id: int) -> None:
    """Let exports that are complete go on, in the transaction that makes their batch run again."""
    is_complete = exports.c.batch_id == batch_id, exports.c.state == "complete"
    connection.execute(update(exports).where(*is_complete).values(state="running", finished_at=None))


def delete_of(connection: Connection, batch_id: int) -> None:
    """Delete the exports of a batch that is deleted in the same transaction. What they have written stays."""
    of_batch = select(exports.c.id).where(exports.c.batch_id == batch_id)
    connection.execute(delete(export_parts).where(export_parts.c.export_id.in_(of_batch)))
    connection.execute(delete(exports).where(exports.c.batch_id == batch_id))
