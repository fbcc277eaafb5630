"""Notices: what happened to endpoints, kept for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from pipeline.domain.notice import Notice, NoticeType
from pipeline.storage.row import Row, rows
from pipeline.storage.tables import notices


def add(connection: Connection, noticed: Sequence[Notice]) -> None:
    """Append notices."""
    if noticed:
        connection.execute(insert(notices), [_row(notice) for notice in noticed])


def _row(notice: Notice) -> Row:
    return {
        "origin": notice.origin,
        "type": notice.type.value,
        "detail": notice.detail,
        "created_at": notice.at,
    }


def last_at(connection: Connection, origin: str, type_: NoticeType) -> datetime | None:
    """Return when an endpoint last had a notice of a type."""
    query = select(notices.c.created_at).where(notices.c.origin == origin, notices.c.type == type_.value)
    found: datetime | None = connection.scalar(query.order_by(notices.c.id.desc()).limit(1))
    return found


def newest(connection: Connection, origin: str, limit: int) -> list[Row]:
    """Return what happened to an endpoint, newest first."""
    query = select(notices.c.type, notices.c.detail, notices.c.created_at).where(notices.c.origin == origin)
    return rows(connection.execute(query.order_by(notices.c.id.desc()).limit(limit)))


def prune(connection: Connection, before: datetime, limit: int) -> int:
    """Delete those of the `limit` oldest notices that are from before an instant. Return how many."""
    oldest = connection.execute(select(notices.c.id, notices.c.created_at).order_by(notices.c.id).limit(limit))
    old = [row.id for row in oldest if row.created_at < before]
    return connection.execute(delete(notices).where(notices.c.id.in_(old))).rowcount if old else 0
