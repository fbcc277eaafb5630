"""Events: the ordered log of each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import accumulate
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Insert,
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


def find_after(connection: Connection, batch_id: int, seq: int, limit: int, size_limit: int) -> list[Row]:
    """Return events of a batch that follow `seq`, in order: at most `limit`, and `size_limit` bytes or a single one."""
    # First their sizes, which reads no bodies.
    of_batch, following = events.c.batch_id == batch_id, events.c.seq > seq
    sizes = select(events.c.seq, func.length(events.c.body)).where(of_batch, following).order_by(events.c.seq)
    chosen = [*connection.execute(sizes.limit(limit))]
    totals = accumulate(size for _, size in chosen)
    last = max((each for (each, _), total in zip(chosen, totals, strict=True) if total <= size_limit), default=None)
    if not chosen:
        return []
    query = select(events.c.seq, events.c.type, events.c.item_id, events.c.body)
    until = events.c.seq <= (chosen[0][0] if last is None else last)
    return rows(connection.execute(query.where(of_batch, following, until).order_by(events.c.seq)))
