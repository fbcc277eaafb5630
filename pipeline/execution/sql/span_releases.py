"""Releasing fresh items by span: a batch's lowest unreleased position moves, and a row of `spans` says by what."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import BigInteger, Connection, Insert, Integer, Text, Update, bindparam, delete, insert, select, update

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.json_rows import table_rows
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, items, spans, unreleased


class Range(NamedTuple):
    """Positions of a batch, from the lowest one that was never released to one above.

    Args:
        is_last: whether no position of the batch is above.
    """

    batch_id: int
    first: int
    last: int
    is_last: bool = False

    @property
    def ids(self) -> range:
        """The ids that items at these positions have."""
        start = self.batch_id * POSITIONS_PER_BATCH
        return range(start + self.first, start + self.last + 1)


def find_positions(connection: Connection, batch_id: int, first: int, limit: int) -> list[int]:
    """Return up to `limit` positions of a batch at which there are items, from `first` on."""
    low = batch_id * POSITIONS_PER_BATCH
    parameters = {"low": low + first, "high": low + POSITIONS_PER_BATCH - 1, "limit": limit}
    return [id_ - low for id_ in connection.scalars(_POSITIONS, parameters)]


_POSITIONS = (
    select(items.c.id)
    .where(items.c.id.between(bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger)))
    .order_by(items.c.id)
    .limit(bindparam("limit", type_=Integer))
)


def count_unreleased(connection: Connection, batch_id: int | None, limit: int) -> int:
    """Return how many items of one batch that releases items, or of all, were never released; about `limit` at most."""
    query = (
        select(unreleased.c.batch_id, unreleased.c.first, batches.c.last_position, batches.c.total)
        .join(batches, batches.c.id == unreleased.c.batch_id)
        .where(batches.c.state.in_(["open", "running"]))
    )
    if batch_id is not None:
        query = query.where(unreleased.c.batch_id == batch_id)
    number = 0
    for id_, first, last, total in connection.execute(query):
        is_dense = last == total
        number += last - first + 1 if is_dense else len(find_positions(connection, id_, first, limit))
        if number >= limit:
            break
    return number


def release(
    connection: Connection, ranges: Collection[Range], *, now: datetime, lease_until: datetime, worker: str | None
) -> set[int]:
    """Release ranges of several batches. Return the batches of those that still began at the lowest position.

    A batch that another dispatcher or a cancellation holds is left for the next round: a round waits for nothing.

    Args:
        worker: the process whose memory holds the messages; None if a broker does.
    """
    dialect = dialect_of(connection)
    planned = {each.batch_id: each for each in sorted(ranges)}
    moved = set(connection.scalars(_move(dialect), {"rows": _encode(dialect, planned.values())}))
    if not moved:
        return moved
    parameters = {
        "rows": _encode(dialect, [planned[batch_id] for batch_id in sorted(moved)]),
        "now": now,
        "until": lease_until,
        "holder": worker,
    }
    connection.execute(_add(dialect), parameters)
    ended = [batch_id for batch_id in sorted(moved) if planned[batch_id].is_last]
    if ended:
        # Locked by this transaction.
        is_ended = dialect.is_in_list(unreleased.c.batch_id, "ids")
        connection.execute(delete(unreleased).where(is_ended), {"ids": dialect.encode_list(ended)})
    return moved


def _encode(dialect: Dialect, ranges: Collection[Range]) -> str:
    return dialect.encode_rows([{"batch_id": each.batch_id, "first": each.first, "last": each.last} for each in ranges])


@cache
def _move(dialect: Dialect) -> Update:
    given = table_rows(spans, dialect, "batch_id", "first", "last")
    is_next = unreleased.c.batch_id == given.c.batch_id, unreleased.c.first == given.c.first
    moved = update(unreleased).returning(unreleased.c.batch_id)
    if not dialect.has_row_locks:
        return moved.where(*is_next).values(first=given.c.last + 1)
    chosen = select(unreleased.c.batch_id, given.c.last).where(*is_next).order_by(unreleased.c.batch_id)
    free = chosen.with_for_update(of=unreleased, skip_locked=True).cte("unlocked")
    return moved.where(unreleased.c.batch_id == free.c.batch_id).values(first=free.c.last + 1)


@cache
def _add(dialect: Dialect) -> Insert:
    names = ("batch_id", "first", "last")
    given = table_rows(spans, dialect, *names)
    same = (bindparam("now", type_=Instant), bindparam("until", type_=Instant), bindparam("holder", type_=Text))
    chosen = select(*(given.c[name] for name in names), *same)
    return insert(spans).from_select([*names, "released_at", "lease_until", "worker"], chosen)
