"""Deliveries for people: which are owed, what was answered, and once more by request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from pipeline.errors import Conflict, NotFound
from pipeline.services.context import Context
from pipeline.services.find import find_batch
from pipeline.storage import attempts, owed
from pipeline.storage.row import Row


@dataclass(frozen=True, slots=True)
class Shown:
    """A delivery and its attempts, oldest first."""

    delivery: Row
    attempts: list[Row]


def newest(
    context: Context, *, batch: str | None = None, state: str | None = None, before: int | None = None, limit: int
) -> list[Row]:
    """Return deliveries of one batch or of all, in one state or in any, newest first, with ids below `before`."""
    with context.database.read() as connection:
        batch_id = None if batch is None else find_batch(connection, batch)["id"]
        return owed.newest(connection, batch_id=batch_id, state=state, before=before, limit=limit)


def show(context: Context, delivery_id: int) -> Shown:
    """Return what is known of a delivery.

    Raises:
        NotFound: there is none of that id.
    """
    with context.database.read() as connection:
        row = _get(connection, delivery_id)
        return Shown(row, attempts.of_delivery(connection, delivery_id))


def replay(context: Context, delivery_id: int) -> Row:
    """Make a delivery pending again, due now: the same webhook id and body, attempts kept. Return it as it is then.

    Raises:
        NotFound: there is none of that id.
        Conflict: it is being sent right now, or its endpoint is disabled, so that it would only be paused again.
    """
    with context.database.write() as connection:
        row = _get(connection, delivery_id)
        if row["disabled_reason"] is not None:
            raise Conflict(
                f"delivery {delivery_id} goes to {row['origin']}, which is disabled ({row['disabled_reason']}); "
                "enable the endpoint first"
            )
        if not owed.replay(connection, delivery_id, context.now()):
            raise Conflict(f"delivery {delivery_id} is being sent right now; look again in a minute")
        return _get(connection, delivery_id)


def next_due_at(context: Context, batch: str) -> datetime | None:
    """Return when the next pending delivery of a batch is due; None where none is pending."""
    with context.database.read() as connection:
        return owed.next_due_at(connection, find_batch(connection, batch)["id"])


def _get(connection: Connection, delivery_id: int) -> Row:
    row = owed.get(connection, delivery_id)
    if row is None:
        raise NotFound(f"there is no delivery {delivery_id}; `pipeline deliveries list` lists them")
    return row
