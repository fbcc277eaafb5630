"""Events: the one ordered log of each batch."""

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
from pipeline.database.json_rows import rows_of
from pipeline.database.row import Row, rows
from pipeline.database.tables import events


def add(connection: Connection, batch_id: int, happened: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Append events of a batch: seq, type, item_id, body."""
    bodies = [each["body"] for each in happened]
    sizes = [len(body) for body in bodies]
    # Where each begins, from 1.
    starts = accumulate(sizes, initial=1)
    numbered = [
        {"seq": each["seq"], "type": each["type"], "item_id": each["item_id"], "start": start, "size": size}
        for each, start, size in zip(happened, starts, sizes, strict=False)
    ]
    dialect = dialect_of(connection)
    parameters = {"rows": dialect.encode_rows(numbered), "bodies": b"".join(bodies), "batch": batch_id, "now": now}
    connection.execute(_add(dialect), parameters)


_BATCH, _NOW = bindparam("batch", type_=BigInteger), bindparam("now", type_=Instant)


@cache
def _add(dialect: Dialect) -> Insert:
    names = ("seq", "type", "item_id")
    given = rows_of(events, dialect, *names, numbers=("start", "size"))
    # Bodies apart, end to end: as JSON they would be escaped here, and read character by character there.
    body = func.substr(bindparam("bodies", type_=LargeBinary), given.c.start, given.c.size)
    chosen = select(*(given.c[name] for name in names), body, _BATCH, _NOW)
    return insert(events).from_select([*names, "body", "batch_id", "created_at"], chosen)


def after(connection: Connection, batch_id: int, seq: int, limit: int) -> list[Row]:
    """Return the events of a batch that follow `seq`, in order."""
    query = (
        select(events.c.seq, events.c.type, events.c.item_id, events.c.body)
        .where(events.c.batch_id == batch_id, events.c.seq > seq)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return rows(connection.execute(query))
