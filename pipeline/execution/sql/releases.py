"""Items on their way out: released to the broker, claimed by a worker. Every transition is one conditional statement.

Each returns what it really changed; a row that is no longer in the expected state, stage or epoch was changed by
somebody else, and is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import Connection, Integer, Update, bindparam, func, select, text, tuple_, update

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.json_rows import item_rows
from pipeline.database.locks import in_order, unlocked
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import is_in, is_still
from pipeline.database.tables import items
from pipeline.domain.item import ItemState


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
    return list(connection.scalars(_FRESH, {"batch": batch_id, "most": limit}))


_FRESH = (
    select(items.c.id)
    .where(items.c.batch_id == bindparam("batch"), is_in(items.c.state, "pending"), items.c.due_at.is_(None))
    .order_by(items.c.id)
    .limit(bindparam("most", type_=Integer))
)


def due(connection: Connection, batch_id: int, now: datetime, limit: int) -> list[int]:
    """Return ids of items whose `due_at` has come, suspects left out: retries, replayed ones, the longest due first."""
    return list(connection.scalars(_DUE, {"batch": batch_id, "now": now, "most": limit}))


_DUE = (
    select(items.c.id)
    .where(items.c.batch_id == bindparam("batch"), is_in(items.c.state, "pending"), items.c.due_at <= bindparam("now"))
    # Written out: the partial index serves only what stands in the statement.
    .where(text("crashes = 0"))
    .order_by(items.c.due_at)
    .limit(bindparam("most", type_=Integer))
)


def release(
    connection: Connection, ids: Sequence[int], *, now: datetime, lease_until: datetime, worker: str | None
) -> list[Released]:
    """Pending → queued, epoch + 1. `worker` names the process whose memory holds the messages, if one does."""
    dialect = dialect_of(connection)
    parameters = {
        "rows": dialect.encode_rows([{"id": id_} for id_ in sorted(ids)]),
        "now": now,
        "until": lease_until,
        "holder": worker,
    }
    return [Released(*row) for row in connection.execute(_release(dialect), parameters)]


@cache
def _release(dialect: Dialect) -> Update:
    given = item_rows(dialect, "id")
    return (
        update(items)
        .where(items.c.id == given.c.id, is_still(items.c.state, "pending"))
        .values(
            state=ItemState.QUEUED.value,
            epoch=items.c.epoch + 1,
            queued_at=func.coalesce(items.c.queued_at, bindparam("now", type_=items.c.queued_at.type)),
            lease_until=bindparam("until"),
            worker=bindparam("holder"),
        )
        .returning(items.c.id, items.c.position, items.c.epoch, items.c.stage)
    )


def take_back(connection: Connection, refs: Iterable[Ref], now: datetime) -> int:
    """Queued → pending, due now: nobody has claimed it, and its message is not on its way. Return how many."""
    dialect = dialect_of(connection)
    given = item_rows(dialect, "id", "epoch")
    mine = tuple_(items.c.id, items.c.epoch).in_(select(given.c.id, given.c.epoch))
    statement = (
        update(items)
        .where(unlocked(dialect, items, mine, is_still(items.c.state, "queued")))
        .values(state=ItemState.PENDING.value, due_at=bindparam("now"), lease_until=None, worker=None)
    )
    parameters = {"rows": dialect.encode_rows({"id": ref.id, "epoch": ref.epoch} for ref in refs), "now": now}
    return connection.execute(statement, parameters).rowcount


def claim(
    connection: Connection,
    stage: str,
    refs: Iterable[Ref],
    *,
    now: datetime,
    lease_until: datetime,
    worker: str,
) -> list[Row]:
    """Queued → running, attempt + 1, and return what the stage needs: claim is read."""
    dialect = dialect_of(connection)
    parameters = {
        "rows": dialect.encode_rows({"id": ref.id, "epoch": ref.epoch} for ref in refs),
        "of_stage": stage,
        "now": now,
        "until": lease_until,
        "holder": worker,
    }
    return rows(connection.execute(_claim(dialect), parameters))


@cache
def _claim(dialect: Dialect) -> Update:
    given = item_rows(dialect, "id", "epoch")
    conditions = (
        items.c.id == given.c.id,
        items.c.epoch == given.c.epoch,
        is_still(items.c.state, "queued"),
        items.c.stage == bindparam("of_stage"),
    )
    return (
        update(items)
        .where(in_order(dialect, items, *conditions))
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


def waits_since(connection: Connection, stages: Collection[str], lease_until: datetime) -> bool:
    """Say whether an item of these stages is released, not claimed, and has a lease that ends before `lease_until`."""
    query = select(items.c.id).where(
        is_in(items.c.state, "queued"), items.c.lease_until < lease_until, items.c.stage.in_(stages)
    )
    return connection.scalar(query.limit(1)) is not None
