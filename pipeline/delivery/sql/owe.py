"""Inserting the deliveries that are owed for events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Insert, Text, bindparam, insert, literal_column, select, text
from sqlalchemy.sql.dml import ReturningInsert

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.json_rows import table_rows
from pipeline.database.tables import deliveries
from pipeline.delivery.sql.lanes import lane_sql

_BATCH, _NOW = bindparam("batch", type_=BigInteger), bindparam("now", type_=Instant)


def add_deliveries(connection: Connection, batch_id: int, added: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Insert deliveries of a batch's events, due now. Those to an ordered endpoint join its lane.

    Args:
        added: one mapping for each delivery with `seq`, `url` and `origin`.
    """
    if added:
        dialect = dialect_of(connection)
        connection.execute(_add(dialect), {"rows": dialect.encode_rows(added), "batch": batch_id, "now": now})


@cache
def _add(dialect: Dialect) -> Insert:
    names = ("seq", "url", "origin")
    given = table_rows(deliveries, dialect, *names)
    # A subquery per row, not a second statement: ordered endpoints are few.
    lane = text(lane_sql("r.origin", ":batch")).bindparams(_BATCH)
    chosen = select(*(given.c[name] for name in names), _BATCH, _NOW, _NOW, literal_column("'pending'"), lane)
    return insert(deliveries).from_select([*names, "batch_id", "due_at", "created_at", "state", "lane"], chosen)


def add_claimed(
    connection: Connection,
    batch_id: int,
    added: Sequence[Mapping[str, Any]],
    now: datetime,
    *,
    worker: str,
    lease_until: datetime,
) -> dict[tuple[int, str], int]:
    """Insert deliveries of a batch's events that `worker` has claimed already. Return their ids by (seq, URL).

    Args:
        added: as for `add_deliveries`; no endpoint is ordered.
    """
    dialect = dialect_of(connection)
    given = {"rows": dialect.encode_rows(added), "batch": batch_id, "now": now}
    found = connection.execute(_add_claimed(dialect), given | {"holder": worker, "lease_until": lease_until})
    return {(seq, url): id_ for id_, seq, url in found}


@cache
def _add_claimed(dialect: Dialect) -> ReturningInsert[int, int, str]:
    names = ("seq", "url", "origin")
    given = table_rows(deliveries, dialect, *names)
    values = {
        "batch_id": _BATCH,
        "due_at": _NOW,
        "created_at": _NOW,
        "state": literal_column("'sending'"),
        "attempt": literal_column("1"),
        "worker": bindparam("holder", type_=Text),
        "lease_until": bindparam("lease_until", type_=Instant),
    }
    chosen = select(*(given.c[name] for name in names), *values.values())
    statement = insert(deliveries).from_select([*names, *values], chosen)
    return statement.returning(deliveries.c.id, deliveries.c.seq, deliveries.c.url)
