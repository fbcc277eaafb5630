"""Guards: their settings and what they have counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.row import Row, rows
from pipeline.database.tables import batches, guards
from pipeline.domain.alerts.guard import GuardState

_COUNTED = ("score", "observed", "failed", "since", "failures")


def insert_guards(connection: Connection, added: Sequence[Mapping[str, Any]]) -> None:
    """Insert guards: `batch_id`, `name`, `settings`, `updated_at` and `updated_by`."""
    if added:
        connection.execute(insert(guards), list(added))


def limit_in_flight(connection: Connection, batch_id: int, most: int | None) -> None:
    """Store how many items of a batch may be in flight; None: as many as the window allows."""
    connection.execute(update(batches).where(batches.c.id == batch_id).values(max_in_flight=most))


def find_guarded(connection: Connection, batch_ids: Collection[int]) -> set[int]:
    """Return which of these batches have guards."""
    dialect = dialect_of(connection)
    return set(connection.scalars(_guarded(dialect), {"ids": dialect.encode_list(batch_ids)}))


@cache
def _guarded(dialect: Dialect) -> Select[tuple[int]]:
    return select(guards.c.batch_id).where(dialect.is_in_list(guards.c.batch_id, "ids")).distinct()


def lock_of(connection: Connection, batch_ids: Collection[int]) -> list[Row]:
    """Lock the guards of these batches, which are locked, and return them with `total`, `public_id` and `completed_at`.

    In the order of their ids, as everywhere.
    """
    dialect = dialect_of(connection)
    return rows(connection.execute(_of(dialect), {"ids": dialect.encode_list(batch_ids)}))


@cache
def _of(dialect: Dialect) -> Select[Any]:
    of_batch = (batches.c.total, batches.c.public_id, batches.c.completed_at)
    query = select(guards, *of_batch).join(batches, batches.c.id == guards.c.batch_id)
    query = query.where(dialect.is_in_list(guards.c.batch_id, "ids")).order_by(guards.c.id)
    return query.with_for_update(of=guards) if dialect.has_row_locks else query


def find_of(connection: Connection, batch_id: int) -> list[Row]:
    """Return the guards of a batch, by name."""
    return rows(connection.execute(select(guards).where(guards.c.batch_id == batch_id).order_by(guards.c.name)))


def save(connection: Connection, guard_id: int, values: Mapping[str, Any]) -> None:
    """Change columns of a guard."""
    connection.execute(update(guards).where(guards.c.id == guard_id).values(**values))


def remove(connection: Connection, guard_id: int) -> None:
    """Delete a guard."""
    connection.execute(delete(guards).where(guards.c.id == guard_id))


def reset_fired(connection: Connection, batch_id: int, *, name: str | None = None) -> list[str]:
    """Let fired guards of a batch watch again, from nothing. Return their names.

    Args:
        name: only this one, and also if it has not fired.
    """
    chosen = guards.c.state == GuardState.FIRED.value if name is None else guards.c.name == name
    statement = (
        update(guards)
        .where(guards.c.batch_id == batch_id, chosen)
        .values(state=GuardState.WATCHING.value, score=0.0, observed=0, failed=0, since=None, failures=0)
        .returning(guards.c.name)
    )
    return sorted(connection.scalars(statement))


def find_fired(connection: Connection, batch_id: int) -> list[str]:
    """Return the names of the guards of a batch that have fired."""
    query = select(guards.c.name).where(guards.c.batch_id == batch_id, guards.c.state == "fired")
    return list(connection.scalars(query.order_by(guards.c.name)))


def counted_columns(evidence: Sequence[Any], failures: int) -> dict[str, Any]:
    """Return what a guard has counted as values of its columns."""
    return dict(zip(_COUNTED, (*evidence, failures), strict=True))


def changed_at(by: str, now: datetime) -> dict[str, Any]:
    """Return the columns that say who changed a guard."""
    return {"updated_at": now, "updated_by": by}
