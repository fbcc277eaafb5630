"""What must hold of a finished batch, whatever happened to the processes that worked on it."""

from __future__ import annotations

from collections import Counter

import orjson
from sqlalchemy import select

from pipeline.database.engine import Database
from pipeline.database.tables import batches, deliveries, events, items, unreleased


def assert_complete(database: Database, public_id: str, total: int) -> Counter[str]:
    """Every item final, one event each, gapless log, counters equal to rows, one `batch.completed`. Return states."""
    with database.read() as connection:
        batch = connection.execute(select(batches).where(batches.c.public_id == public_id)).mappings().one()
        states = Counter(connection.scalars(select(items.c.state).where(items.c.batch_id == batch["id"])))
        log = (
            connection.execute(select(events).where(events.c.batch_id == batch["id"]).order_by(events.c.seq))
            .mappings()
            .all()
        )
        rest = connection.execute(select(unreleased).where(unreleased.c.batch_id == batch["id"])).all()
    assert rest == []
    assert sum(states.values()) == total == batch["total"]
    assert set(states) <= {"succeeded", "dead", "cancelled"}
    assert {state: batch[state] for state in ("succeeded", "dead", "cancelled")} == {
        state: states[state] for state in ("succeeded", "dead", "cancelled")
    }
    assert [event["seq"] for event in log] == list(range(1, total + 2))
    assert [event["type"] for event in log].count("batch.completed") == 1
    assert log[-1]["type"] == "batch.completed"
    of_items = [event["item_id"] for event in log if event["item_id"] is not None]
    assert len(of_items) == len(set(of_items)) == total
    assert all(orjson.loads(event["body"])["data"]["seq"] == event["seq"] for event in log)
    return states


def assert_delivered(database: Database, public_id: str, number: int) -> None:
    """Every delivery of the batch is delivered, and there are `number`."""
    with database.read() as connection:
        query = select(deliveries.c.state).join(batches, batches.c.id == deliveries.c.batch_id)
        states = Counter(connection.scalars(query.where(batches.c.public_id == public_id)))
    assert states == {"delivered": number}
