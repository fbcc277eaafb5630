"""Definitions as they were when a batch was submitted."""

from __future__ import annotations

from datetime import datetime

import orjson
from sqlalchemy import Connection, select

from pipeline.storage.row import upsert
from pipeline.storage.tables import definitions


def keep(connection: Connection, *, name: str, version: str, content: object, stages: str, now: datetime) -> int:
    """Return the id of this version, storing it where it is new."""
    row = {
        "name": name,
        "version": version,
        "content": orjson.dumps(content).decode(),
        "stages": stages,
        "created_at": now,
    }
    connection.execute(upsert(connection, definitions).values(**row).on_conflict_do_nothing())
    return int(connection.execute(select(definitions.c.id).where(definitions.c.version == version)).scalar_one())


def content(connection: Connection, definition_id: int) -> dict[str, object]:
    """Return a stored definition."""
    text = connection.scalar(select(definitions.c.content).where(definitions.c.id == definition_id))
    found: dict[str, object] = orjson.loads(text or "{}")
    return found
