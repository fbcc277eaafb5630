"""Instants in the database: `timestamptz` on PostgreSQL, text of fixed width on SQLite, where it sorts as it reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, TypeDecorator

#: Characters of an instant that is stored as text.
WIDTH = len("2026-11-21 12:00:00.000000")


class Instant(TypeDecorator[datetime]):
    """An aware instant in UTC; naive values are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _aware(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    # SQLite has text only. Its stock processors go through a naive value; these are twice as fast. A result of
    # PostgreSQL has many instants, and is in UTC already: it is asked, not turned.

    def bind_processor(self, dialect: Dialect) -> Any:
        return _to_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _from_text if dialect.name == "sqlite" else _in_utc


def to_text(value: datetime) -> str:
    """Return an instant as text of fixed width in UTC: what SQLite stores."""
    return _aware(value).isoformat(" ", "microseconds")[:WIDTH]


def _to_text(value: datetime | None) -> str | None:
    return None if value is None else to_text(value)


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


def _in_utc(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo is UTC else value.astimezone(UTC)


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; instants are aware")
    return value if value.tzinfo is UTC else value.astimezone(UTC)
