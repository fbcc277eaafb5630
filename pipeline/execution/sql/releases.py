"""Releasing items by row, and claiming them for a worker. Every transition is one conditional statement.

Each returns what it changed. A row that is no longer in the expected state, stage or epoch was changed by another
process and is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Select, Update, and_, bindparam, func, or_, select, text, tuple_, update

from pipeline.batches.sql import spans
from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.json_rows import item_rows
from pipeline.database.locks import lock_in_id_order, skip_locked
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import has_state, recheck_state
from pipeline.database.tables import items
from pipeline.domain.item import ItemState, Stage


class Ref(NamedTuple):
    """One release of one item: everything that a message carries."""

    id: int
    epoch: int


class ReleasedItem(NamedTuple):
    """An item that may be published now."""

    id: int
    position: int
    epoch: int
    stage: str


def find_due(connection: Connection, batch_id: int, now: datetime, limit: int) -> list[int]:
    """Return the ids of up to `limit` items that are due again (retries and replays), longest due first.

    Suspects are left out.
    """
    return list(connection.scalars(_DUE, {"batch": batch_id, "now": now, "limit": limit}))


_DUE = (
    select(items.c.id)
    .where(
        items.c.batch_id == bindparam("batch"), has_state(items.c.state, "pending"), items.c.due_at <= bindparam("now")
    )
    # A literal: a partial index serves only statements that contain its condition.
    .where(text("crashes = 0"))
    .order_by(items.c.due_at)
    .limit(bindparam("limit", type_=Integer))
)


def release(
    connection: Connection, ids: Sequence[int], *, now: datetime, lease_until: datetime, worker: str | None
) -> list[ReleasedItem]:
    """Move pending items to queued, and increment their epochs. Return those that were still pending.

    Rows that another transaction holds are left for the next round.

    Args:
        worker: the process whose memory holds the messages; None if a broker does.
    """
    dialect = dialect_of(connection)
    parameters = {
        "rows": dialect.encode_rows([{"id": id_} for id_ in sorted(ids)]),
        "now": now,
        "until": lease_until,
        "holder": worker,
    }
    return [ReleasedItem(*row) for row in connection.execute(_release(dialect), parameters)]


@cache
def _release(dialect: Dialect) -> Update:
    given = item_rows(dialect, "id")
    # A round releases items of several batches with several statements, so it must not wait for a row: a recorder that
    # lost its lease locks rows of all batches in the order of their ids.
    is_free = skip_locked(dialect, items, items.c.id == given.c.id, recheck_state(items.c.state, "pending"))
    return (
        update(items)
        .where(is_free)
        .values(
            state=ItemState.QUEUED.value,
            epoch=items.c.epoch + 1,
            queued_at=func.coalesce(items.c.queued_at, bindparam("now", type_=items.c.queued_at.type)),
            lease_until=bindparam("until"),
            worker=bindparam("holder"),
        )
        .returning(items.c.id, items.c.position, items.c.epoch, items.c.stage)
    )


def undo_release(connection: Connection, refs: Iterable[Ref], now: datetime) -> int:
    """Make released items that could not be published pending again, due now. Return how many were not claimed."""
    refs = list(refs)
    dialect = dialect_of(connection)
    given = item_rows(dialect, "id", "epoch")
    is_given = tuple_(items.c.id, items.c.epoch).in_(select(given.c.id, given.c.epoch))
    statement = (
        update(items)
        .where(skip_locked(dialect, items, is_given, recheck_state(items.c.state, "queued")))
        .values(state=ItemState.PENDING.value, due_at=bindparam("now"), lease_until=None, worker=None)
    )
    parameters = {"rows": dialect.encode_rows({"id": ref.id, "epoch": ref.epoch} for ref in refs), "now": now}
    return connection.execute(statement, parameters).rowcount + spans.undo_release(connection, refs, now)


def claim(
    connection: Connection,
    stage: str,
    refs: Iterable[Ref],
    *,
    now: datetime,
    lease_until: datetime,
    worker: str,
    with_times: bool = False,
) -> list[Row]:
    """Move released items to running, and count an attempt. Return what the stage needs of those that were claimed.

    An item is released by its row, which is queued under the epoch of the message, or by a span, and then fresh. The
    claim of a fresh item writes what its release did not: the epoch and the time.

    Args:
        with_times: return when each was submitted, released and classified as well.
    """
    dialect = dialect_of(connection)
    parameters = {
        "rows": dialect.encode_rows({"id": ref.id, "epoch": ref.epoch} for ref in refs),
        "stage_name": stage,
        "now": now,
        "until": lease_until,
        "holder": worker,
    }
    return rows(connection.execute(_claim(dialect, with_times), parameters))


@cache
def _claim(dialect: Dialect, with_times: bool) -> Update:
    given = item_rows(dialect, "id", "epoch")
    by_row = and_(items.c.epoch == given.c.epoch, recheck_state(items.c.state, "queued"))
    by_span = and_(given.c.epoch == spans.EPOCH, spans.is_fresh(), spans.released_at().is_not(None))
    conditions = (items.c.id == given.c.id, items.c.stage == bindparam("stage_name"), or_(by_row, by_span))
    return (
        update(items)
        .where(lock_in_id_order(dialect, items, *conditions))
        .values(
            state=ItemState.RUNNING.value,
            epoch=func.coalesce(func.nullif(items.c.epoch, 0), spans.EPOCH),
            queued_at=func.coalesce(items.c.queued_at, spans.released_at()),
            attempt=items.c.attempt + 1,
            attempts=items.c.attempts + 1,
            started_at=func.coalesce(items.c.started_at, bindparam("now", type_=items.c.started_at.type)),
            lease_until=bindparam("until"),
            worker=bindparam("holder"),
        )
        .returning(*(items.c[name] for name in (*_CLAIMED, *(_TIMES if with_times else ()))))
    )


def find_claimed(connection: Connection, stage: str, refs: Iterable[Ref], *, worker: str) -> list[Row]:
    """Return the same of the items that a worker has claimed already and still runs."""
    dialect = dialect_of(connection)
    given = dialect.encode_rows({"id": ref.id, "epoch": ref.epoch} for ref in refs)
    parameters = {"rows": given, "stage_name": stage, "holder": worker}
    return rows(connection.execute(_find_claimed(dialect), parameters))


@cache
def _find_claimed(dialect: Dialect) -> Select[Any]:
    given = item_rows(dialect, "id", "epoch")
    return select(*(items.c[name] for name in _CLAIMED)).where(
        items.c.id == given.c.id,
        items.c.epoch == given.c.epoch,
        items.c.stage == bindparam("stage_name"),
        recheck_state(items.c.state, "running"),
        items.c.worker == bindparam("holder"),
    )


_CLAIMED = (
    "id", "batch_id", "position", "key", "payload", "epoch", "attempt", "snoozes", "crashes", "label", "confidence",
    "replays",
)  # fmt: skip
_TIMES = ("created_at", "queued_at", "classified_at")


def has_unclaimed(connection: Connection, stages: Collection[str], lease_until: datetime) -> bool:
    """Return whether an item at one of these stages is released but not claimed, with a lease that ends too soon.

    Args:
        lease_until: the lease ends before this.
    """
    query = select(items.c.id).where(
        has_state(items.c.state, "queued"), items.c.lease_until < lease_until, items.c.stage.in_(stages)
    )
    if connection.scalar(query.limit(1)) is not None:
        return True
    return Stage.CLASSIFY in stages and bool(
        connection.scalar(select(spans.exist_unclaimed(spans.lease_ends_before(lease_until))))
    )
