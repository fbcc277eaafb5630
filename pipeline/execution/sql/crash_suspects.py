"""Items that a worker died holding. Their index holds nothing else, so that looking for them costs nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Select, bindparam, func, select, text

from pipeline.batches.sql.items import IN_FLIGHT
from pipeline.database.state_literals import is_in
from pipeline.database.tables import batches, definitions, items

# Written out, not bound: a partial index serves only what stands in the statement.
_CRASHED = text("items.crashes > 0")


class Suspect(NamedTuple):
    """A suspect that waits, with what its message is made of."""

    id: int
    crashes: int
    batch_id: int
    public_id: str
    stages: str


def waiting(connection: Connection, limit: int, batch_id: int | None = None) -> list[Suspect]:
    """Return suspects of running batches, or of one, that wait: those of the fewest crashes first, then the oldest."""
    query = _of(_WAITING, batch_id)
    return [Suspect(*row) for row in connection.execute(query, {"most": limit})]


_WAITING = (
    select(items.c.id, items.c.crashes, batches.c.id, batches.c.public_id, definitions.c.stages)
    .join(batches, batches.c.id == items.c.batch_id)
    .join(definitions, definitions.c.id == batches.c.definition_id)
    .where(is_in(items.c.state, "pending"), _CRASHED, batches.c.state == "running")
    .order_by(items.c.crashes, items.c.due_at, items.c.id)
    .limit(bindparam("most", type_=Integer))
)


def under_way(connection: Connection, batch_id: int | None = None) -> dict[int, int]:
    """Return how many suspects are released or running, by their crashes."""
    query = select(items.c.crashes, func.count()).where(is_in(items.c.state, *IN_FLIGHT), _CRASHED)
    return {crashes: number for crashes, number in connection.execute(_of(query, batch_id).group_by(items.c.crashes))}


def _of(query: Select[Any], batch_id: int | None) -> Select[Any]:
    return query if batch_id is None else query.where(items.c.batch_id == batch_id)
