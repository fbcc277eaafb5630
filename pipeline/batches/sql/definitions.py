"""Definitions as they were when a batch was submitted."""

from __future__ import annotations

from datetime import datetime

import orjson
from sqlalchemy import Connection, delete, select

from pipeline.database.dialect import dialect_of
from pipeline.database.tables import batches, definitions, named_definitions


def store(connection: Connection, *, name: str, version: str, content: object, stages: str, now: datetime) -> int:
    """Store a version of a definition unless it is stored already. Return its id."""
    row = {
        "name": name,
        "version": version,
        "content": orjson.dumps(content).decode(),
        "stages": stages,
        "created_at": now,
    }
    known = select(definitions.c.id).where(definitions.c.version == version)
    while True:
        # Locked until the transaction inserts a batch that refers to it. It may be pruned between the two statements.
        found = connection.scalar(known.with_for_update(read=True, key_share=True))
        if found is not None:
            return int(found)
        connection.execute(dialect_of(connection).upsert(definitions).values(**row).on_conflict_do_nothing())


def load_content(connection: Connection, definition_id: int) -> dict[str, object]:
    """Return the content of a stored definition."""
    text = connection.scalar(select(definitions.c.content).where(definitions.c.id == definition_id))
    found: dict[str, object] = orjson.loads(text or "{}")
    return found


def prune(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` definitions that were stored before an instant and have neither batch nor name.

    Return the count.
    """
    of_batches = select(batches.c.id).where(batches.c.definition_id == definitions.c.id)
    of_names = select(named_definitions.c.name).where(named_definitions.c.version == definitions.c.version)
    is_unused = ~of_batches.exists() & ~of_names.exists()
    chosen = select(definitions.c.id).where(definitions.c.created_at < before, is_unused).limit(limit)
    # Locked first, then checked again: a submission that held the lock has inserted its batch by now.
    locked = list(connection.scalars(chosen.order_by(definitions.c.id).with_for_update(skip_locked=True)))
    return connection.execute(delete(definitions).where(definitions.c.id.in_(locked), is_unused)).rowcount
