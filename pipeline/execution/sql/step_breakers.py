"""Breakers of enrichers that are open: one row for each definition and step, and none while all services work."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, rows
from pipeline.database.tables import batches, definitions, step_breakers


def add(
    connection: Connection,
    definition_id: int,
    step: str,
    *,
    failures: int,
    calls: int,
    error: str,
    now: datetime,
    until: datetime,
) -> bool:
    """Store that a breaker is open. Return False if another process has found the same."""
    statement = (
        dialect_of(connection)
        .upsert(step_breakers)
        .values(
            definition_id=definition_id,
            step=step,
            opened_at=now,
            open_until=until,
            failures=failures,
            calls=calls,
            error=error,
        )
        .on_conflict_do_nothing(index_elements=[step_breakers.c.definition_id, step_breakers.c.step])
        .returning(step_breakers.c.step)
    )
    return connection.scalar(statement) is not None


def find_all(connection: Connection) -> list[Row]:
    """Return the breakers that are open."""
    return rows(connection.execute(select(step_breakers)))


def find_of(connection: Connection, batch: str | None) -> list[Row]:
    """Return the breakers that are open, with the name of the `definition`; `batch`: only those that it waits for."""
    query = select(step_breakers, definitions.c.name.label("definition"))
    query = query.join(definitions, definitions.c.id == step_breakers.c.definition_id)
    if batch is not None:
        query = query.join(batches, batches.c.definition_id == definitions.c.id).where(batches.c.public_id == batch)
    return rows(connection.execute(query.order_by(step_breakers.c.definition_id, step_breakers.c.step)))


def take_probe(connection: Connection, definition_id: int, step: str, *, now: datetime, until: datetime) -> bool:
    """Take the right to make the one call that finds out whether a service works again. Return False if it is not due.

    Args:
        until: when the next probe is due, should this one fail.
    """
    statement = (
        update(step_breakers)
        .where(
            step_breakers.c.definition_id == definition_id,
            step_breakers.c.step == step,
            step_breakers.c.open_until <= now,
        )
        .values(open_until=until, probes=step_breakers.c.probes + 1)
    )
    return connection.execute(statement).rowcount == 1


def remove(connection: Connection, definition_id: int, step: str) -> bool:
    """Store that a breaker is closed. Return False if it was."""
    chosen = step_breakers.c.definition_id == definition_id, step_breakers.c.step == step
    return connection.execute(delete(step_breakers).where(*chosen)).rowcount == 1


def remove_unused(connection: Connection, before: datetime) -> list[Row]:
    """Remove breakers whose probe has been due since before an instant. Return their rows."""
    statement = delete(step_breakers).where(step_breakers.c.open_until < before).returning(step_breakers)
    return rows(connection.execute(statement))
