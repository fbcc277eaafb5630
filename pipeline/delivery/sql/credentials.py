"""The signing secrets and headers of endpoints, encrypted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, or_, select, update

from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, first, rows
from pipeline.database.tables import endpoints

_ENCRYPTED = select(endpoints.c.origin, endpoints.c.secrets, endpoints.c.headers)


def lock(connection: Connection, origin: str, now: datetime) -> Row:
    """Return an endpoint's secrets and headers, and lock its row. A missing row is inserted."""
    inserted = dialect_of(connection).upsert(endpoints).values(origin=origin, updated_at=now)
    connection.execute(inserted.on_conflict_do_nothing(index_elements=[endpoints.c.origin]))
    row = connection.execute(_ENCRYPTED.where(endpoints.c.origin == origin).with_for_update()).mappings().one()
    return dict(row)


def store(connection: Connection, origin: str, now: datetime, changed: Mapping[str, str | None]) -> None:
    """Replace `secrets`, `headers` or both of an endpoint."""
    connection.execute(update(endpoints).where(endpoints.c.origin == origin).values(**changed, updated_at=now))


def get(connection: Connection, origin: str) -> Row | None:
    """Return an endpoint's secrets and headers, or None if it has no row."""
    return first(connection.execute(_ENCRYPTED.where(endpoints.c.origin == origin)))


def find_all(connection: Connection) -> list[Row]:
    """Return the endpoints that have secrets or headers, by origin."""
    has_any = or_(endpoints.c.secrets.is_not(None), endpoints.c.headers.is_not(None))
    return rows(connection.execute(_ENCRYPTED.where(has_any).order_by(endpoints.c.origin)))
