"""Stream tokens in the database, and the removal of credentials that have expired."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from pipeline.database.row import Row, first
from pipeline.database.tables import sessions, stream_tokens


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    """Insert a token."""
    connection.execute(insert(stream_tokens).values(**row))


def find(connection: Connection, digest: str) -> Row | None:
    """Return the token with this digest, expired or not."""
    return first(connection.execute(select(stream_tokens).where(stream_tokens.c.digest == digest)))


def delete_expired(connection: Connection, now: datetime, limit: int) -> int:
    """Delete up to `limit` sessions and as many tokens that have expired. Return how many of either at most."""
    deleted = 0
    for table in (sessions, stream_tokens):
        chosen = select(table.c.digest).where(table.c.expires_at <= now).limit(limit)
        deleted = max(deleted, connection.execute(delete(table).where(table.c.digest.in_(chosen))).rowcount)
    return deleted
