"""Insert the deliveries that are owed for events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Insert, bindparam, insert, literal_column, select, text

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.json_rows import rows_of
from pipeline.database.tables import deliveries
from pipeline.delivery.sql.lanes import lane_of

_BATCH, _NOW = bindparam("batch", type_=BigInteger), bindparam("now", type_=Instant)


def owe(connection: Connection, batch_id: int, owed: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Insert deliveries of a batch's events, due now; those to an ordered endpoint get their lane.

    Args:
        owed: one mapping per delivery with `seq`, `url` and `origin`.
    """
    if owed:
        dialect = dialect_of(connection)
        connection.execute(_owe(dialect), {"rows": dialect.encode_rows(owed), "batch": batch_id, "now": now})


@cache
def _owe(dialect: Dialect) -> Insert:
    names = ("seq", "url", "origin")
    given = rows_of(deliveries, dialect, *names)
    # A subquery per row, not a second statement: ordered endpoints are few.
    lane = text(lane_of("r.origin", ":batch")).bindparams(_BATCH)
    chosen = select(*(given.c[name] for name in names), _BATCH, _NOW, _NOW, literal_column("'pending'"), lane)
    return insert(deliveries).from_select([*names, "batch_id", "due_at", "created_at", "state", "lane"], chosen)
