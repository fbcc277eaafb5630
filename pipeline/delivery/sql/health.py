"""How endpoints have been answering: read under a lock, changed, written back."""

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
from pipeline.database.text_columns import ordered
from pipeline.delivery.rules.breaker import Breaker, BreakerState
from pipeline.delivery.rules.health import Health

# Column and field have one name, but for the breaker's state.
_OF_BREAKER = {"breaker" if field.name == "state" else field.name: field.name for field in fields(Breaker)}
_OF_HEALTH = tuple(field.name for field in fields(Health) if field.name != "breaker")
_COLUMNS = (*_OF_BREAKER, *_OF_HEALTH)
_READ = ("origin", "disabled_at", *_COLUMNS)

# What a healthy endpoint that has just answered says changes nothing: its row is neither locked nor written.
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
    return ordered(text(query).bindparams(bindparam("stale", type_=Instant)), _READ, _INSTANTS)


_SAVE = (
    update(endpoints)
    .where(endpoints.c.origin == bindparam("of"))
    .values({name: bindparam(f"new_{name}") for name in (*_COLUMNS, "updated_at")})
)


def make_known(connection: Connection, origins: Sequence[str], now: datetime) -> None:
    """Give endpoints a row that have none, in the order of their names; before any of their rows is locked."""
    statement = dialect_of(connection).upsert(endpoints).on_conflict_do_nothing(index_elements=[endpoints.c.origin])
    connection.execute(statement, [{"origin": origin, "updated_at": now} for origin in sorted(origins)])


def changing(
    connection: Connection, origins: Sequence[str], failing: Sequence[str], stale: datetime
) -> dict[str, Health]:
    """Return the health of endpoints that answers may change, and lock their rows.

    These are the `failing`, and those that failed lately or whose last success is older than `stale`. Endpoints without
    a row are left out.
    """
    dialect = dialect_of(connection)
    lists = {"origins": dialect.encode_list(origins), "failing": dialect.encode_list(failing)}
    found = connection.execute(_changing(dialect), {**lists, "stale": stale})
    return {row["origin"]: of_row(row) for row in rows(found)}


def of_row(row: Mapping[str, Any]) -> Health:
    """Return what an endpoint's row says of its health."""
    breaker = {field: row[name] for name, field in _OF_BREAKER.items()}
    breaker["state"] = BreakerState(breaker["state"])
    return Health(breaker=Breaker(**breaker), **{name: row[name] for name in _OF_HEALTH})


def save(connection: Connection, changed: Mapping[str, Health], now: datetime) -> None:
    """Write the health of endpoints whose rows are locked."""
    if changed:
        connection.execute(_SAVE, [_saved(origin, health, now) for origin, health in changed.items()])


def _saved(origin: str, health: Health, now: datetime) -> Row:
    breaker = {f"new_{name}": getattr(health.breaker, field) for name, field in _OF_BREAKER.items()}
    others = {f"new_{name}": getattr(health, name) for name in _OF_HEALTH}
    return {"of": origin, "new_updated_at": now, **breaker, **others}
