"""The column type of instants: `timestamptz` on PostgreSQL, fixed-width text on SQLite, which sorts in time order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, TypeDecorator

#: Number of characters of an instant that is stored as text.
TEXT_WIDTH = len("2026-11-21 12:00:00.000000")


class Instant(TypeDecorator[datetime]):
    """A time-zone-aware instant, in UTC. A naive value is an error."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _in_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    # SQLAlchemy's processors for SQLite go through a naive value; these are twice as fast. Results from PostgreSQL hold
    # many instants, nearly all in UTC already, so they are converted only when they are not.

    def bind_processor(self, dialect: Dialect) -> Any:
        return _to_sqlite if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _from_sqlite if dialect.name == "sqlite" else _from_postgresql


def instant_to_text(value: datetime) -> str:
    """Return an instant as SQLite stores it: text of fixed width, in UTC.

    Raises:
        ValueError: it has no time zone.
    """
    return _in_utc(value).isoformat(" ", "microseconds")[:TEXT_WIDTH]


def _to_sqlite(value: datetime | None) -> str | None:
    return None if value is None else instant_to_text(value)


def _from_sqlite(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


def _from_postgresql(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo is UTC else value.astimezone(UTC)


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; pass an aware datetime")
    return value if value.tzinfo is UTC else value.astimezone(UTC)
