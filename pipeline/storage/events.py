"""Events: the one ordered log of each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, text

from pipeline.storage.instant import Instant
from pipeline.storage.lanes import LANE
from pipeline.storage.row import Row, rows
from pipeline.storage.tables import events


def add(connection: Connection, happened: Sequence[Mapping[str, Any]]) -> None:
    """Append events: batch_id, seq, type, item_id, body, created_at."""
    connection.execute(_ADD, happened)


def owe(connection: Connection, owed: Sequence[Mapping[str, Any]]) -> None:
    """Write what is owed: batch_id, seq, url, origin, due_at, created_at; in a lane where its endpoint is ordered."""
    if owed:
        connection.execute(_OWE, owed)


_EVENT = ("batch_id", "seq", "type", "item_id", "body", "created_at")
_DELIVERY = ("batch_id", "seq", "url", "origin", "due_at", "created_at")

_ADD = insert(events).values(**{name: bindparam(name) for name in _EVENT})
# The lane is found on the way: endpoints that are ordered are few, and none costs a statement more.
_OWE = text(
    f"INSERT INTO deliveries (state, lane, {', '.join(_DELIVERY)}) VALUES ('pending', {LANE}, :{', :'.join(_DELIVERY)})"
).bindparams(bindparam("due_at", type_=Instant), bindparam("created_at", type_=Instant))


def after(connection: Connection, batch_id: int, seq: int, limit: int) -> list[Row]:
    """Return the events of a batch that follow `seq`, in order."""
    query = (
        select(events.c.seq, events.c.type, events.c.item_id, events.c.body)
        .where(events.c.batch_id == batch_id, events.c.seq > seq)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return rows(connection.execute(query))
