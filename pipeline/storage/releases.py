"""Items on their way out: released to the broker, claimed by a worker. Every transition is one conditional statement.

Each returns what it really changed; a row that is no longer in the expected state, stage or epoch was changed by
somebody else, and is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import Connection, Update, bindparam, func, select, update

from pipeline.domain.item import ItemState
from pipeline.storage.recordset import encode, is_sqlite, item_rows
from pipeline.storage.row import Row, rows
from pipeline.storage.state import is_in
from pipeline.storage.tables import items


class Ref(NamedTuple):
    """One release of one item: all that a message carries."""

    id: int
    epoch: int


class Released(NamedTuple):
    """An item that may be published now."""

    id: int
    position: int
    epoch: int
    stage: str


def fresh(connection: Connection, batch_id: int, limit: int) -> list[int]:
    """Return ids of items that were never released, in input order."""
    query = (
        select(items.c.id)
        .where(items.c.batch_id == batch_id, is_in(items.c.state, "pending"), items.c.due_at.is_(None))
        .order_by(items.c.id)
        .limit(limit)
    )
    return list(connection.scalars(query))


def due(connection: Connection, batch_id: int, now: datetime, limit: int) -> list[int]:
    """Return ids of items whose `due_at` has come: retries, rescued and replayed ones, the longest due first."""
    query = (
        select(items.c.id)
        .where(items.c.batch_id == batch_id, is_in(items.c.state, "pending"), items.c.due_at <= now)
        .order_by(items.c.due_at)
        .limit(limit)
    )
    return list(connection.scalars(query))


def next_due_at(connection: Connection, batch_id: int, now: datetime) -> datetime | None:
    """Return when the next item of a batch comes due that is not yet."""
    query = select(func.min(items.c.due_at)).where(
        items.c.batch_id == batch_id, is_in(items.c.state, "pending"), items.c.due_at > now
    )
    found: datetime | None = connection.scalar(query)
    return found


def release(
    connection: Connection, ids: Sequence[int], *, now: datetime, lease_until: datetime, worker: str | None
) -> list[Released]:
    """Pending → queued, epoch + 1. `worker` names the process whose memory holds the messages, if one does."""
    given = item_rows(is_sqlite(connection), "id")
    statement = (
        update(items)
        .where(items.c.id == given.c.id, is_in(items.c.state, "pending"))
        .values(
            state=ItemState.QUEUED.value,
            epoch=items.c.epoch + 1,
            queued_at=func.coalesce(items.c.queued_at, bindparam("now", type_=items.c.queued_at.type)),
            lease_until=bindparam("until"),
            worker=bindparam("holder"),
        )
        .returning(items.c.id, items.c.position, items.c.epoch, items.c.stage)
    )
    parameters = {
        "rows": encode({"id": i} for i in ids),
        "now": now,
        "until": lease_until,
        "holder": worker,
    }
    return [Released(*row) for row in connection.execute(statement, parameters)]


def claim(
    connection: Connection,
    stage: str,
    refs: Iterable[Ref],
    *,
    now: datetime,
    lease_until: datetime,
    worker: str,
    crashed: bool = False,
) -> list[Row]:
    """Queued → running, attempt + 1, and return what the stage needs: claim is read.

    Items that a worker died holding are passed over unless `crashed`: those are claimed apart.
    """
    statement = _claim(is_sqlite(connection), crashed)
    parameters = {
        "rows": encode({"id": ref.id, "epoch": ref.epoch} for ref in refs),
        "of_stage": stage,
        "now": now,
        "until": lease_until,
        "holder": worker,
    }
    return rows(connection.execute(statement, parameters))


def suspects(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Return which of these items are queued and were held by workers that died, and by how many."""
    query = select(items.c.id, items.c.crashes).where(
        items.c.id.in_(ids), is_in(items.c.state, "queued"), items.c.crashes > 0
    )
    return {id_: crashes for id_, crashes in connection.execute(query)}


@cache
def _claim(on_sqlite: bool, crashed: bool) -> Update:
    given = item_rows(on_sqlite, "id", "epoch")
    return (
        update(items)
        .where(
            items.c.id == given.c.id,
            items.c.epoch == given.c.epoch,
            is_in(items.c.state, "queued"),
            items.c.stage == bindparam("of_stage"),
            items.c.crashes > 0 if crashed else items.c.crashes == 0,
        )
        .values(
            state=ItemState.RUNNING.value,
            attempt=items.c.attempt + 1,
            attempts=items.c.attempts + 1,
            started_at=func.coalesce(items.c.started_at, bindparam("now", type_=items.c.started_at.type)),
            lease_until=bindparam("until"),
            worker=bindparam("holder"),
        )
        .returning(*(items.c[name] for name in _CLAIMED))
    )


_CLAIMED = (
    "id", "batch_id", "position", "key", "payload", "epoch", "attempt", "snoozes", "crashes", "label", "confidence",
)  # fmt: skip
