"""Items: accepted, looked at, cancelled, replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, func, select, update

from pipeline.database.dialect import dialect_of
from pipeline.database.json_rows import item_rows
from pipeline.database.locks import unlocked
from pipeline.database.row import Row, first, rows
from pipeline.database.state_literals import is_in
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, items
from pipeline.domain.item import ItemState, Stage

IN_FLIGHT = (ItemState.QUEUED, ItemState.RUNNING)
NOT_BEGUN = (ItemState.PENDING, ItemState.QUEUED)

RESULT = ("label", "confidence", "classification", "classified_at", "enrichment")
ERROR = ("error_kind", "error_type", "error_message", "error_stage")

#: What an event about a finished item is made of.
FINISHED = (
    "id", "batch_id", "position", "key", "callback_url", "state", "attempts", *RESULT, *ERROR,
    "created_at", "queued_at", "started_at", "finished_at",
)  # fmt: skip


def add(connection: Connection, accepted: Sequence[Mapping[str, Any]]) -> None:
    """Insert accepted items: id, batch_id, position, key, payload, callback_url, created_at."""
    begin = {"stage": Stage.CLASSIFY.value, "state": ItemState.PENDING.value}
    dialect_of(connection).insert_rows(connection, items, _ACCEPTED, [{**row, **begin} for row in accepted])


_ACCEPTED = ("id", "batch_id", "position", "key", "payload", "callback_url", "created_at", "stage", "state")


def positions_of_keys(connection: Connection, batch_id: int, keys: Sequence[str]) -> dict[str, int]:
    """Return the position of the item that has each of these keys in a batch."""
    dialect = dialect_of(connection)
    given = item_rows(dialect, "key")
    query = select(items.c.key, items.c.position).where(
        items.c.batch_id == batch_id, items.c.key.is_not(None), items.c.key.in_(select(given.c.key))
    )
    found = connection.execute(query, {"rows": dialect.encode_rows({"key": key} for key in keys)})
    return {key: position for key, position in found}


def get(connection: Connection, item_id: int) -> Row | None:
    return first(connection.execute(select(items).where(items.c.id == item_id)))


def dead(connection: Connection, batch_id: int | None, *, after: int, limit: int) -> list[Row]:
    """Return dead items with ids above `after`, of one batch or of all, with their batch's public id."""
    columns = [items.c[name] for name in ("id", "batch_id", "position", "key", "attempts", "finished_at", *ERROR)]
    query = select(*columns, batches.c.public_id).join(batches, batches.c.id == items.c.batch_id)
    query = query.where(is_in(items.c.state, "dead"), items.c.id > after)
    if batch_id is not None:
        query = query.where(items.c.batch_id == batch_id)
    return rows(connection.execute(query.order_by(items.c.id).limit(limit)))


def labels(connection: Connection, batch_id: int) -> dict[str, int]:
    """Return how many items of a batch have each label, most frequent first."""
    number = func.count()
    query = (
        select(items.c.label, number)
        # By id: its range is the batch, and no other index leads to all of its rows.
        .where(items.c.id.between(*ids_of(batch_id)), items.c.label.is_not(None))
        .group_by(items.c.label)
        .order_by(number.desc(), items.c.label)
    )
    return {label: count for label, count in connection.execute(query)}


def ids_of(batch_id: int) -> tuple[int, int]:
    """Return the first and the last id that items of a batch can have."""
    return batch_id * POSITIONS_PER_BATCH, (batch_id + 1) * POSITIONS_PER_BATCH - 1


def in_flight(connection: Connection) -> dict[int, int]:
    """Return how many items of each batch are released or running."""
    return {batch: count for batch, count in connection.execute(_IN_FLIGHT)}


_BY_BATCH = select(items.c.batch_id, func.count()).group_by(items.c.batch_id)
_IN_FLIGHT = _BY_BATCH.where(is_in(items.c.state, *IN_FLIGHT))
# Both conditions: the index is of what is in flight.
_RUNNING = _IN_FLIGHT.where(is_in(items.c.state, ItemState.RUNNING))


def running(connection: Connection) -> dict[int, int]:
    """Return how many items of each batch are running."""
    return {batch: count for batch, count in connection.execute(_RUNNING)}


def cancel(connection: Connection, batch_id: int, *, after: int, now: datetime, limit: int) -> list[Row]:
    """Pending or queued → cancelled, at most `limit` of a batch, ids above `after`. A running item may finish."""
    of_batch = items.c.id.between(*ids_of(batch_id))
    not_begun = is_in(items.c.state, *NOT_BEGUN)
    statement = (
        update(items)
        .where(unlocked(dialect_of(connection), items, of_batch, items.c.id > after, not_begun, limit=limit))
        .values(state=ItemState.CANCELLED.value, finished_at=now, lease_until=None, worker=None)
        .returning(*(items.c[name] for name in FINISHED))
    )
    return rows(connection.execute(statement))


def replay(connection: Connection, batch_id: int, *, ids: Sequence[int] | None, now: datetime, limit: int) -> list[int]:
    """Dead → pending, due now, with fresh attempts, at the stage that failed. `ids` None: all dead of the batch."""
    conditions = [items.c.batch_id == batch_id, is_in(items.c.state, "dead")]
    if ids is not None:
        conditions.append(items.c.id.in_(ids))
    statement = (
        update(items)
        .where(unlocked(dialect_of(connection), items, *conditions, limit=limit))
        .values(
            state=ItemState.PENDING.value,
            due_at=now,
            attempt=0,
            snoozes=0,
            crashes=0,
            worker=None,
            finished_at=None,
            **dict.fromkeys(ERROR),
        )
        .returning(items.c.id)
    )
    return list(connection.scalars(statement))


def attempt_uncounted() -> Any:
    """The attempt number without the attempt that a crash cut short: a crash has a limit of its own."""
    return case((is_in(items.c.state, "running"), items.c.attempt - 1), else_=items.c.attempt)
