"""Notices: what happened to endpoints, for users to read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, rows
from pipeline.database.tables import notices
from pipeline.delivery.rules.notice import Notice, NoticeType


def add(connection: Connection, added: Sequence[Notice]) -> None:
    """Add notices."""
    if added:
        connection.execute(insert(notices), [_row(notice) for notice in added])


def _row(notice: Notice) -> Row:
    return {
        "origin": notice.origin,
        "type": notice.type.value,
        "detail": notice.detail,
        "created_at": notice.at,
        "actor": notice.actor,
    }


def find_last_at(connection: Connection, origin: str, type_: NoticeType) -> datetime | None:
    """Return when an endpoint last had a notice of a type, or None if it never had one."""
    query = select(notices.c.created_at).where(notices.c.origin == origin, notices.c.type == type_.value)
    found: datetime | None = connection.scalar(query.order_by(notices.c.id.desc()).limit(1))
    return found


def find_newest(connection: Connection, origins: Sequence[str], limit: int) -> dict[str, list[Row]]:
    """Return up to `limit` notices about each of these endpoints, newest first.

    Endpoints without notices are left out.
    """
    number = func.row_number().over(partition_by=notices.c.origin, order_by=notices.c.id.desc()).label("number")
    columns = (notices.c.origin, notices.c.id, notices.c.type, notices.c.detail, notices.c.created_at)
    dialect = dialect_of(connection)
    each = select(*columns, notices.c.actor, number).where(dialect.is_in_list(notices.c.origin, "origins")).subquery()
    query = select(each).where(each.c.number <= limit).order_by(each.c.origin, each.c.id.desc())
    found: dict[str, list[Row]] = {}
    for row in rows(connection.execute(query, {"origins": dialect.encode_list(origins)})):
        kept = {name: row[name] for name in ("type", "detail", "created_at", "actor")}
        found.setdefault(row["origin"], []).append(kept)
    return found


def prune(connection: Connection, before: datetime, limit: int) -> int:
    """Delete those of the `limit` oldest notices that were created before an instant. Return the count."""
    oldest = connection.execute(select(notices.c.id, notices.c.created_at).order_by(notices.c.id).limit(limit))
    old = [row.id for row in oldest if row.created_at < before]
    return connection.execute(delete(notices).where(notices.c.id.in_(old))).rowcount if old else 0
