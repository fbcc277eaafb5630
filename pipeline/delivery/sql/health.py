"""The health of endpoints, judged by their responses: read under a lock, changed, written back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, text, update
from sqlalchemy.sql.selectable import TextualSelect

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.row import Row, rows
from pipeline.database.tables import endpoints
from pipeline.database.text_columns import with_columns
from pipeline.delivery.rules.breaker import Breaker, BreakerState
from pipeline.delivery.rules.health import Health

# Columns and fields have the same names, except for the state of the breaker.
_BREAKER_FIELDS = {"breaker" if field.name == "state" else field.name: field.name for field in fields(Breaker)}
_HEALTH_FIELDS = tuple(field.name for field in fields(Health) if field.name != "breaker")
_COLUMNS = (*_BREAKER_FIELDS, *_HEALTH_FIELDS)
_READ = ("origin", "disabled_at", *_COLUMNS)

# The row of a healthy endpoint that has succeeded lately is neither locked nor written.
_CHANGING = """
    SELECT {columns} FROM endpoints
    WHERE {of_origins} AND ({is_failing} OR breaker <> 'closed' OR consecutive_failures > 0
        OR window_started_at IS NOT NULL OR failing_since IS NOT NULL
        OR last_success_at IS NULL OR last_success_at < :stale)
    ORDER BY origin {lock}"""
_INSTANTS = {name for name in _READ if isinstance(endpoints.c[name].type, Instant)}


@cache
def _changing(dialect: Dialect) -> TextualSelect:
    query = _CHANGING.format(
        columns=", ".join(_READ),
        of_origins=dialect.in_list_sql("origin", "origins", "text"),
        is_failing=dialect.in_list_sql("origin", "failing", "text"),
        lock=dialect.row_lock_sql("FOR UPDATE"),
    )
    return with_columns(text(query).bindparams(bindparam("stale", type_=Instant)), _READ, _INSTANTS)


_SAVE = (
    update(endpoints)
    .where(endpoints.c.origin == bindparam("endpoint"))
    .values({name: bindparam(f"new_{name}") for name in (*_COLUMNS, "updated_at")})
)


def ensure_rows(connection: Connection, origins: Sequence[str], now: datetime) -> None:
    """Insert rows for endpoints that have none, in the order of their names.

    Call this before any of their rows is locked.
    """
    statement = dialect_of(connection).upsert(endpoints).on_conflict_do_nothing(index_elements=[endpoints.c.origin])
    connection.execute(statement, [{"origin": origin, "updated_at": now} for origin in sorted(origins)])


def lock_changing(
    connection: Connection, origins: Sequence[str], failing: Sequence[str], stale: datetime
) -> dict[str, Health]:
    """Return the health of endpoints whose rows a response may change, and lock these rows.

    Endpoints without a row are left out.

    Args:
        failing: endpoints among `origins` that have just failed.
        stale: a last success before this time is updated.
    """
    dialect = dialect_of(connection)
    lists = {"origins": dialect.encode_list(origins), "failing": dialect.encode_list(failing)}
    found = connection.execute(_changing(dialect), {**lists, "stale": stale})
    return {row["origin"]: health_from_row(row) for row in rows(found)}


def health_from_row(row: Mapping[str, Any]) -> Health:
    """Return the health of an endpoint from its row."""
    breaker = {field: row[name] for name, field in _BREAKER_FIELDS.items()}
    breaker["state"] = BreakerState(breaker["state"])
    return Health(breaker=Breaker(**breaker), **{name: row[name] for name in _HEALTH_FIELDS})


def save(connection: Connection, changed: Mapping[str, Health], now: datetime) -> None:
    """Write the health of endpoints whose rows are locked."""
    if changed:
        connection.execute(_SAVE, [_saved(origin, health, now) for origin, health in changed.items()])


def _saved(origin: str, health: Health, now: datetime) -> Row:
    breaker = {f"new_{name}": getattr(health.breaker, field) for name, field in _BREAKER_FIELDS.items()}
    others = {f"new_{name}": getattr(health, name) for name in _HEALTH_FIELDS}
    return {"endpoint": origin, "new_updated_at": now, **breaker, **others}
