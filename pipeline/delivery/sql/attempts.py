"""Attempts at deliveries.

A first attempt that succeeds has no row of its own: its start, answer and worker stand on the delivery, beside the
status and the end. Most deliveries need no other attempt, so most cost one row less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, insert, literal_column, select

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.json_rows import table_rows
from pipeline.database.row import Row, rows
from pipeline.database.tables import attempts, deliveries

_STAGE: ColumnElement[str] = literal_column("'deliver'")
#: First attempts that stand on their deliveries, as rows of `attempts`.
FIRST_SUCCESSES = select(
    deliveries.c.id.label("delivery_id"),
    _STAGE.label("stage"),
    literal_column("1").label("number"),
    literal_column("'succeeded'").label("outcome"),
    deliveries.c.last_status.label("status"),
    deliveries.c.started_at,
    deliveries.c.finished_at.label("ended_at"),
    deliveries.c.worker,
    deliveries.c.answer,
).where(deliveries.c.started_at.is_not(None))
_COLUMNS = FIRST_SUCCESSES.selected_columns.keys()


def add(connection: Connection, added: Sequence[Mapping[str, Any]]) -> None:
    """Add attempts."""
    if added:
        dialect = dialect_of(connection)
        connection.execute(_add(dialect), {"rows": dialect.encode_rows(added)})


@cache
def _add(dialect: Dialect) -> Insert:
    names = (
        "delivery_id", "bundle_id", "number", "trigger", "outcome", "status", "error_type", "error_message",
        "started_at", "ended_at", "worker", "answer",
    )  # fmt: skip
    given = table_rows(attempts, dialect, *names)
    chosen = select(*(given.c[name] for name in names), _STAGE)
    return insert(attempts).from_select([*names, "stage"], chosen)


def find(connection: Connection, delivery_id: int, bundle_id: int | None) -> list[Row]:
    """Return the attempts at a delivery and at the bundle it was part of, oldest first."""
    found = rows(connection.execute(select(attempts).where(attempts.c.delivery_id == delivery_id)))
    if bundle_id is not None:
        found += rows(connection.execute(select(attempts).where(attempts.c.bundle_id == bundle_id)))
    found.sort(key=lambda row: row["id"])
    # It comes last: the delivery is not tried again unless it is replayed, and before that the attempt gets its row.
    first_success = rows(connection.execute(FIRST_SUCCESSES.where(deliveries.c.id == delivery_id)))
    return found + [dict.fromkeys(attempts.c.keys()) | row for row in first_success]


def detach_first_successes(connection: Connection, ids: Sequence[int]) -> None:
    """Give first attempts that stand on these deliveries rows of their own, so that the deliveries can be tried again.

    The deliveries must be locked. Whoever makes them pending clears `FIRST_SUCCESS_CLEARED`.
    """
    dialect = dialect_of(connection)
    connection.execute(_detach(dialect), {"ids": dialect.encode_list(ids)})


@cache
def _detach(dialect: Dialect) -> Insert:
    chosen = FIRST_SUCCESSES.where(dialect.is_in_list(deliveries.c.id, "ids")).order_by(deliveries.c.id)
    return insert(attempts).from_select(_COLUMNS, chosen)


#: What a delivery that is made pending again no longer holds about a first attempt.
FIRST_SUCCESS_CLEARED: Mapping[str, None] = {"started_at": None, "answer": None, "worker": None}
