"""Sums over all batches that outlive them. A transaction locks a row of these last, after all others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.sql.dml import Insert

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.tables import totals

SUBMITTED_ITEMS, EVENTS = "submitted_items", "events"
#: How long an attempt at a stage took lately; followed by the stage.
ATTEMPT_MICROSECONDS = "attempt_microseconds:"


def read(connection: Connection) -> dict[str, int]:
    """Return all of them by name."""
    return {name: value for name, value in connection.execute(select(totals.c.name, totals.c.value))}


def add(connection: Connection, values: Mapping[str, int]) -> None:
    """Add to sums, by name."""
    statement = _add(dialect_of(connection))
    for name, value in sorted(values.items()):
        connection.execute(statement, {"name": name, "value": value})


def follow(connection: Connection, name: str, value: int) -> None:
    """Let a mean follow a new value: ten of them move it two thirds of the way."""
    connection.execute(_follow(dialect_of(connection)), {"name": name, "value": value})


@cache
def _add(dialect: Dialect) -> Insert:
    statement = dialect.upsert(totals).values(name=bindparam("name"), value=bindparam("value"))
    changed: dict[str, Any] = {"value": totals.c.value + statement.excluded.value}
    return statement.on_conflict_do_update(index_elements=[totals.c.name], set_=changed)


@cache
def _follow(dialect: Dialect) -> Insert:
    statement = dialect.upsert(totals).values(name=bindparam("name"), value=bindparam("value"))
    changed: dict[str, Any] = {"value": (totals.c.value * 9 + statement.excluded.value) // 10}
    return statement.on_conflict_do_update(index_elements=[totals.c.name], set_=changed)
