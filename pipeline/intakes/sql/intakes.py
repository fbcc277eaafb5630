"""Intakes: their state, their open batch, and their counters.

A transaction locks the positions of an intake first, in the order of partitions, then its row, then batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select, func, select, update

from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, first, rows
from pipeline.database.tables import batches, definitions, intakes

COUNTERS = ("accepted", "duplicates", "rejected", "skipped", "gaps")


def _rows() -> Select[Any]:
    of_batch = batches.c.public_id, batches.c.state.label("batch_state"), batches.c.total, batches.c.started_at
    query = select(intakes, definitions.c.name.label("definition"), *of_batch)
    # A definition that no batch uses any more may be pruned.
    query = query.outerjoin(definitions, definitions.c.id == intakes.c.definition_id)
    return query.outerjoin(batches, batches.c.id == intakes.c.batch_id)


def find_all(connection: Connection) -> list[Row]:
    """Return every intake with its open batch, by name."""
    return rows(connection.execute(_rows().order_by(intakes.c.name)))


def find_by_name(connection: Connection, name: str) -> Row | None:
    """Return an intake with its open batch; None if there is none of this name."""
    return first(connection.execute(_rows().where(intakes.c.name == name)))


def find_open(connection: Connection) -> list[Row]:
    """Return the intakes with an open batch."""
    return rows(connection.execute(_rows().where(intakes.c.batch_id.is_not(None))))


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    """Insert an intake in state `running`, unless another process has just inserted one of its name."""
    statement = dialect_of(connection).upsert(intakes).values(state="running", **row)
    connection.execute(statement.on_conflict_do_nothing())


def lock(connection: Connection, intake_id: int) -> Row:
    """Lock an intake until the transaction ends. Return its row."""
    query = select(intakes).where(intakes.c.id == intake_id).with_for_update()
    return rows(connection.execute(query))[0]


def change(connection: Connection, intake_id: int, **values: Any) -> None:
    """Set columns of an intake."""
    connection.execute(update(intakes).where(intakes.c.id == intake_id).values(**values))


def count(connection: Connection, intake_id: int, **added: int) -> None:
    """Add to the counters of an intake."""
    values = {name: intakes.c[name] + number for name, number in added.items() if number}
    if values:
        connection.execute(update(intakes).where(intakes.c.id == intake_id).values(values))


def count_pending(connection: Connection, intake_id: int) -> int:
    """Return how many items of an intake are not final."""
    final = batches.c.succeeded + batches.c.dead + batches.c.cancelled
    query = select(func.sum(batches.c.total - final))
    query = query.where(batches.c.intake_id == intake_id, batches.c.completed_at.is_(None))
    return int(connection.scalar(query) or 0)
