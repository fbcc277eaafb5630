"""Events: the ordered log of each batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import accumulate
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Insert,
    Integer,
    LargeBinary,
    bindparam,
    func,
    insert,
    select,
)

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.json_rows import table_rows
from pipeline.database.row import Row, rows
from pipeline.database.tables import events


def add(connection: Connection, batch_id: int, added: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Add events to the log of a batch.

    Args:
        added: one mapping for each event with `seq`, `type`, `item_id` and `body`.
    """
    bodies = [each["body"] for each in added]
    sizes = [len(body) for body in bodies]
    # Positions of the bodies in their concatenation, from 1.
    starts = accumulate(sizes, initial=1)
    numbered = [
        {"seq": each["seq"], "type": each["type"], "item_id": each["item_id"], "start": start, "size": size}
        for each, start, size in zip(added, starts, sizes, strict=False)
    ]
    dialect = dialect_of(connection)
    parameters = {"rows": dialect.encode_rows(numbered), "bodies": b"".join(bodies), "batch": batch_id, "now": now}
    connection.execute(_add(dialect), parameters)


_BATCH, _NOW = bindparam("batch", type_=BigInteger), bindparam("now", type_=Instant)


@cache
def _add(dialect: Dialect) -> Insert:
    names = ("seq", "type", "item_id")
    given = table_rows(events, dialect, *names, integers=("start", "size"))
    # All bodies are one parameter, end to end: as JSON they would be escaped here and parsed by character there.
    body = func.substr(bindparam("bodies", type_=LargeBinary), given.c.start, given.c.size)
    chosen = select(*(given.c[name] for name in names), body, _BATCH, _NOW)
    return insert(events).from_select([*names, "body", "batch_id", "created_at"], chosen)


def find_after(connection: Connection, batch_id: int, seq: int, limit: int, size_limit: int) -> tuple[list[Row], bool]:
    """Return events of a batch that follow `seq`, in order, and whether there are more.

    They are at most `limit`, and have at most `size_limit` bytes, unless the first one alone has more.
    """
    # First their sizes, which reads no bodies.
    sizes = connection.execute(_SIZES, {"batch": batch_id, "after": seq, "limit": limit}).all()
    if not sizes:
        return [], False
    totals = accumulate(size for _, size in sizes)
    fitting = [each for (each, _), total in zip(sizes, totals, strict=True) if total <= size_limit]
    last, end = fitting[-1] if fitting else sizes[0][0], sizes[-1][0]
    found = rows(connection.execute(_BODIES, {"batch": batch_id, "after": seq, "last": last}))
    return found, len(sizes) == limit or last < end


def find_repeated(connection: Connection, batch_id: int, types: Collection[str]) -> dict[int, int]:
    """Return the `seq` of the last event of one of these types of each item that has several of them, by item."""
    query = (
        select(events.c.item_id, func.max(events.c.seq))
        .where(events.c.batch_id == batch_id, events.c.type.in_(types), events.c.item_id.is_not(None))
        .group_by(events.c.item_id)
        .having(func.count() > 1)
    )
    return {item: seq for item, seq in connection.execute(query)}


# Built once: a run that follows its results asks dozens of times a second.
_FOLLOWING = (events.c.batch_id == _BATCH) & (events.c.seq > bindparam("after", type_=BigInteger))
_SIZES = (
    select(events.c.seq, func.length(events.c.body))
    .where(_FOLLOWING)
    .order_by(events.c.seq)
    .limit(bindparam("limit", type_=Integer))
)
_BODIES = (
    select(events.c.seq, events.c.type, events.c.item_id, events.c.body)
    .where(_FOLLOWING, events.c.seq <= bindparam("last", type_=BigInteger))
    .order_by(events.c.seq)
)
