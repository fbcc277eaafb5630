"""Events: the one ordered log of each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, LargeBinary, cast, func, insert, literal_column, select

from pipeline.storage.lanes import lane_of
from pipeline.storage.recordset import encode, is_sqlite, rows_of
from pipeline.storage.row import Row, rows
from pipeline.storage.tables import deliveries, events


def add(connection: Connection, happened: Sequence[Mapping[str, Any]]) -> None:
    """Append events: batch_id, seq, type, item_id, body, created_at."""
    connection.execute(_add(is_sqlite(connection)), {"rows": encode(happened)})


def owe(connection: Connection, owed: Sequence[Mapping[str, Any]]) -> None:
    """Write what is owed: batch_id, seq, url, origin, due_at, created_at; in a lane where its endpoint is ordered."""
    if owed:
        connection.execute(_owe(is_sqlite(connection)), {"rows": encode(owed)})


@cache
def _add(on_sqlite: bool) -> Insert:
    names = ("batch_id", "seq", "type", "item_id", "created_at")
    given = rows_of(events, on_sqlite, *names, texts=("body",))
    body = cast(given.c.body, LargeBinary) if on_sqlite else func.convert_to(given.c.body, "UTF8")
    return insert(events).from_select([*names, "body"], select(*(given.c[name] for name in names), body))


@cache
def _owe(on_sqlite: bool) -> Insert:
    names = ("batch_id", "seq", "url", "origin", "due_at", "created_at")
    given = rows_of(deliveries, on_sqlite, *names)
    # The lane is found on the way: endpoints that are ordered are few, and none costs a statement more.
    lane: ColumnElement[str | None] = literal_column(lane_of("r.origin", "r.batch_id"))
    chosen = select(*(given.c[name] for name in names), literal_column("'pending'"), lane)
    return insert(deliveries).from_select([*names, "state", "lane"], chosen)


def after(connection: Connection, batch_id: int, seq: int, limit: int) -> list[Row]:
    """Return the events of a batch that follow `seq`, in order."""
    query = (
        select(events.c.seq, events.c.type, events.c.item_id, events.c.body)
        .where(events.c.batch_id == batch_id, events.c.seq > seq)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return rows(connection.execute(query))
