"""Items that a worker died holding. An index contains nothing else, so finding them costs next to nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Select, bindparam, func, select, text

from pipeline.batches.sql.items import IN_FLIGHT
from pipeline.database.state_literals import has_state
from pipeline.database.tables import batches, definitions, items

# A literal, not a parameter: a partial index serves only statements that contain its condition.
_CRASHED = text("items.crashes > 0")


class Suspect(NamedTuple):
    """A suspect that waits, with the data for its message."""

    id: int
    crashes: int
    batch_id: int
    public_id: str
    stages: str


def find_waiting(connection: Connection, limit: int, batch_id: int | None = None) -> list[Suspect]:
    """Return up to `limit` waiting suspects of running batches: fewest crashes first, then longest due first.

    Args:
        batch_id: None for the suspects of all running batches.
    """
    query = _in_batch(_WAITING, batch_id)
    return [Suspect(*row) for row in connection.execute(query, {"limit": limit})]


_WAITING = (
    select(items.c.id, items.c.crashes, batches.c.id, batches.c.public_id, definitions.c.stages)
    .join(batches, batches.c.id == items.c.batch_id)
    .join(definitions, definitions.c.id == batches.c.definition_id)
    .where(has_state(items.c.state, "pending"), _CRASHED, batches.c.state == "running")
    .order_by(items.c.crashes, items.c.due_at, items.c.id)
    .limit(bindparam("limit", type_=Integer))
)


def count_in_flight(connection: Connection, batch_id: int | None = None) -> dict[int, int]:
    """Return how many suspects are released or running, by their number of crashes."""
    query = select(items.c.crashes, func.count()).where(has_state(items.c.state, *IN_FLIGHT), _CRASHED)
    return {
        crashes: number for crashes, number in connection.execute(_in_batch(query, batch_id).group_by(items.c.crashes))
    }


def _in_batch(query: Select[Any], batch_id: int | None) -> Select[Any]:
    return query if batch_id is None else query.where(items.c.batch_id == batch_id)
