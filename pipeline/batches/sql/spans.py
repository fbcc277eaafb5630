"""Spans: fresh items, released by range of positions without a write to their rows.

An item is fresh until something is written to its row: pending, at epoch 0, without a `due_at`. It never becomes fresh
again. Each fresh item of an open batch is either in the range that `unreleased` begins, up to the batch's last
position, or in a span, whose messages carry epoch 1. A claim or whatever takes the item back raises its epoch, so the
item's row decides between them.

A span has nothing to say once none of its items is fresh, and is deleted then, never before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    FromClause,
    ScalarSelect,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    true,
    update,
)

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.json_rows import table_rows
from pipeline.database.locks import skip_locked
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import recheck_state
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, items, spans, unreleased
from pipeline.domain.item import ItemState

#: The epoch of a release by span: the first one of each of its items.
EPOCH = 1


class LiveSpan(NamedTuple):
    """A span, and how many of its items are not claimed. If that is 0, it stays so."""

    batch_id: int
    first: int
    unclaimed: int


def is_fresh() -> ColumnElement[bool]:
    """Return the condition that nothing was ever written to an item, for items that are found by id."""
    return and_(recheck_state(items.c.state, "pending"), items.c.epoch == 0, items.c.due_at.is_(None))


def _is_in(span: FromClause) -> ColumnElement[bool]:
    """Return the condition that an item is in the range of a span, by its id."""
    start = span.c.batch_id * POSITIONS_PER_BATCH
    return items.c.id.between(start + span.c.first, start + span.c.last)


def of_batch(batch_id: int) -> ColumnElement[bool]:
    """Return the condition that a span is of a batch."""
    return spans.c.batch_id == batch_id


def lease_ends_before(instant: datetime) -> ColumnElement[bool]:
    """Return the condition that the lease of a span ends before an instant."""
    return spans.c.lease_until < instant


def released_at() -> ScalarSelect[datetime]:
    """Return SQL for when the span of an item was released, null if no span contains it, for items found by id."""
    covering = spans.alias("covering")
    return (
        select(covering.c.released_at)
        .where(
            covering.c.batch_id == items.c.batch_id,
            covering.c.first <= items.c.position,
            covering.c.last >= items.c.position,
        )
        .order_by(covering.c.first.desc())
        .limit(1)
        .correlate(items)
        .scalar_subquery()
    )


def find_live(connection: Connection, of_spans: ColumnElement[bool] | None = None) -> list[LiveSpan]:
    """Return the spans that meet a condition, all by default, with the number of their unclaimed items."""
    query = _LIVE if of_spans is None else _LIVE.where(of_spans)
    return [LiveSpan(*row) for row in connection.execute(query)]


_UNCLAIMED = select(func.count()).select_from(items).where(_is_in(spans), is_fresh()).correlate(spans).scalar_subquery()
_LIVE = select(spans.c.batch_id, spans.c.first, _UNCLAIMED)


def shown(connection: Connection, items_of_batch: Sequence[Row]) -> list[Row]:
    """Return items of one batch as users see them: queued, if they are fresh and their span is released."""
    fresh = [each for each in items_of_batch if _is_fresh(each)]
    if not fresh:
        return list(items_of_batch)
    positions = [each["position"] for each in fresh]
    query = select(spans).where(
        spans.c.batch_id == fresh[0]["batch_id"], spans.c.first <= max(positions), spans.c.last >= min(positions)
    )
    released = rows(connection.execute(query.order_by(spans.c.first)))
    starts = [each["first"] for each in released]
    return [_in_its_span(each, released, starts) if _is_fresh(each) else each for each in items_of_batch]


def _is_fresh(item: Row) -> bool:
    return bool(item["state"] == ItemState.PENDING and not item["epoch"] and item["due_at"] is None)


def _in_its_span(item: Row, released: Sequence[Row], starts: Sequence[int]) -> Row:
    index = bisect_right(starts, item["position"]) - 1
    if index < 0 or released[index]["last"] < item["position"]:
        return item
    span = released[index]
    return item | {
        "state": ItemState.QUEUED.value,
        "epoch": EPOCH,
        "queued_at": span["released_at"],
        "lease_until": span["lease_until"],
        "worker": span["worker"],
    }


def take_back(connection: Connection, of_spans: ColumnElement[bool], now: datetime, *, waits: bool = False) -> int:
    """Make the unclaimed items of spans pending by row, due now, so that their messages are stale. Return the count.

    Args:
        of_spans: the condition that chooses the spans.
        waits: wait for items that are being claimed right now, instead of leaving them to the claim. If the claim
            comes to nothing, the item is still in its span.
    """
    chosen = _lock_fresh(dialect_of(connection), of_spans, waits)
    return connection.execute(_take_back(chosen), {"now": now}).rowcount


def _lock_fresh(dialect: Dialect, of_spans: ColumnElement[bool], waits: bool) -> ColumnElement[bool]:
    """Return the condition that an item is an unclaimed one of these spans, and lock such items in the order of ids."""
    if not dialect.has_row_locks:
        return and_(of_spans, _is_in(spans), is_fresh())
    # Span by span: in a join, the planner may read all items and look for the span of each.
    span = select(spans).where(of_spans).order_by(spans.c.batch_id, spans.c.first).subquery("span")
    fresh = select(items.c.id).where(_is_in(span), is_fresh()).order_by(items.c.id)
    lateral = fresh.with_for_update(of=items, skip_locked=not waits).lateral("fresh")
    locked = select(lateral.c.id).select_from(span.join(lateral, true())).cte("locked")
    # As an array, which is looked up item by item: for a join, the planner may read all items in their order.
    return items.c.id == func.any(func.array(select(locked.c.id).scalar_subquery()))


def undo_release(connection: Connection, refs: Iterable[tuple[int, int]], now: datetime) -> int:
    """Do the same for single items of spans, given by id and epoch, that are not being claimed."""
    dialect = dialect_of(connection)
    rows = [{"id": id_, "epoch": epoch} for id_, epoch in refs if epoch == EPOCH]
    if not rows:
        return 0
    return connection.execute(_undo_release(dialect), {"rows": dialect.encode_rows(rows), "now": now}).rowcount


@cache
def _undo_release(dialect: Dialect) -> Update:
    given = table_rows(items, dialect, "id")
    return _take_back(skip_locked(dialect, items, items.c.id == given.c.id, is_fresh(), released_at().is_not(None)))


def _take_back(chosen: ColumnElement[bool]) -> Update:
    return (
        update(items)
        .where(chosen)
        .values(epoch=EPOCH, due_at=bindparam("now", type_=items.c.due_at.type), queued_at=released_at())
    )


def delete_claimed(connection: Connection, of_spans: ColumnElement[bool] | None = None) -> list[LiveSpan]:
    """Delete the spans, of those that meet a condition, whose items are all claimed or taken back; return the others.

    A span that another transaction holds is left to the next call.
    """
    found = find_live(connection, of_spans)
    claimed = sorted(each[:2] for each in found if not each.unclaimed)
    if claimed:
        dialect = dialect_of(connection)
        rows = [{"batch_id": batch_id, "first": position} for batch_id, position in claimed]
        connection.execute(_delete(dialect), {"rows": dialect.encode_rows(rows)})
    return [each for each in found if each.unclaimed]


@cache
def _delete(dialect: Dialect) -> Delete:
    given = table_rows(spans, dialect, "batch_id", "first")
    chosen = select(spans.c.batch_id, spans.c.first).where(
        spans.c.batch_id == given.c.batch_id, spans.c.first == given.c.first
    )
    if not dialect.has_row_locks:
        return delete(spans).where(chosen.correlate(spans).exists())
    free = chosen.with_for_update(of=spans, skip_locked=True).cte("unlocked")
    return delete(spans).where(spans.c.batch_id == free.c.batch_id, spans.c.first == free.c.first)


def add_unreleased(connection: Connection, batch_id: int, first: int = 1) -> None:
    """Record that no position of a batch from `first` on has been released."""
    connection.execute(insert(unreleased).values(batch_id=batch_id, first=first))


def find_unaccepted(connection: Connection) -> list[int]:
    """Return the running batches of which only a program without spans knows: accepted by it, or replayed since."""
    query = select(batches.c.id).where(
        batches.c.completed_at.is_(None),
        batches.c.state.in_(["running", "paused"]),
        batches.c.last_position.is_(None),
    )
    return list(connection.scalars(query))


def first_fresh(connection: Connection, batch_id: int) -> int | None:
    """Return the position of a batch's first fresh item, None if it has none. This may read the whole batch."""
    start = batch_id * POSITIONS_PER_BATCH
    of_batch = items.c.id.between(start, start + POSITIONS_PER_BATCH - 1)
    return connection.scalar(select(items.c.position).where(of_batch, is_fresh()).order_by(items.c.id).limit(1))


def forget_unreleased(connection: Connection, batch_id: int) -> None:
    """Never release the rest of a batch by span."""
    connection.execute(delete(unreleased).where(unreleased.c.batch_id == batch_id))


def forget(connection: Connection, batch_id: int) -> None:
    """Delete what is known of the ranges of a batch, whose row is deleted as well."""
    forget_unreleased(connection, batch_id)
    connection.execute(delete(spans).where(spans.c.batch_id == batch_id))


def exist_unclaimed(*of_spans: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that spans which meet conditions have an unclaimed item."""
    unclaimed = select(items.c.id).where(_is_in(spans), is_fresh()).correlate(spans).exists()
    return select(spans.c.first).where(*of_spans, unclaimed).exists()
