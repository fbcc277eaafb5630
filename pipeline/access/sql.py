"""API keys and sessions in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select, update

from pipeline.database.row import Row, first, rows
from pipeline.database.tables import api_keys, sessions


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    """Insert a key."""
    connection.execute(insert(api_keys).values(**row))


def find(connection: Connection, key_id: str) -> Row | None:
    """Return the key with this id."""
    return first(connection.execute(select(api_keys).where(api_keys.c.id == key_id)))


def find_all(connection: Connection) -> list[Row]:
    """Return all keys, the oldest first."""
    return rows(connection.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)))


def any_exists(connection: Connection) -> bool:
    """Return whether there is a key, revoked ones included."""
    return bool(connection.scalar(select(exists(select(api_keys.c.id)))))


def revoke(connection: Connection, key_id: str, now: datetime) -> bool:
    """Revoke a key. Return False if it was already, or is unknown."""
    statement = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)).values(revoked_at=now)
    return connection.execute(statement).rowcount == 1


def expire(connection: Connection, key_id: str, at: datetime) -> None:
    """Let a key expire at a time, unless it does earlier."""
    earlier = api_keys.c.expires_at.is_not(None) & (api_keys.c.expires_at <= at)
    connection.execute(update(api_keys).where(api_keys.c.id == key_id, ~earlier).values(expires_at=at))


def note_use(connection: Connection, key_id: str, now: datetime) -> None:
    """Record that a key was used."""
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=now))


def add_session(connection: Connection, digest: str, key_id: str, until: datetime) -> None:
    """Insert a session."""
    connection.execute(insert(sessions).values(digest=digest, key_id=key_id, expires_at=until))


def find_session(connection: Connection, digest: str, now: datetime) -> Row | None:
    """Return a session that has not expired."""
    query = select(sessions).where(sessions.c.digest == digest, sessions.c.expires_at > now)
    return first(connection.execute(query))


def delete_session(connection: Connection, digest: str) -> None:
    """Delete a session."""
    connection.execute(delete(sessions).where(sessions.c.digest == digest))
