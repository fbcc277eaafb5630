"""Reading and writing alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, case, delete, insert, select, text, update

from pipeline.alerts.rules.episode import AlertState, Episode
from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, rows
from pipeline.database.tables import alerts, batches, definitions

_IS_FIRING = alerts.c.state == AlertState.FIRING.value
#: Condition of a partial index, which must stand in the statement as it does in the index.
_FIRING_SQL = "state = 'firing'"
#: Alerts looked at for those that opened lately.
_NEWEST = 5_000


def add_firing(connection: Connection, public_id: str, episode: Episode, now: datetime) -> bool:
    """Insert an alert that fires, unless one of its key does. Return whether it was inserted."""
    statement = dialect_of(connection).upsert(alerts).values(**_values(public_id, episode, now))
    statement = statement.on_conflict_do_nothing(index_elements=[alerts.c.key], index_where=text(_FIRING_SQL))
    return connection.scalar(statement.returning(alerts.c.id)) is not None


def add_over(connection: Connection, public_id: str, episode: Episode, opened_at: datetime, now: datetime) -> None:
    """Insert an alert that is over, and that channels were told of at the time."""
    values = _values(public_id, episode, opened_at)
    values |= {"state": AlertState.RESOLVED.value, "resolved_at": now, "announce": None}
    connection.execute(insert(alerts).values(**values))


def _values(public_id: str, episode: Episode, now: datetime) -> dict[str, Any]:
    return {
        "public_id": public_id,
        "name": episode.name,
        "key": episode.key,
        "severity": episode.severity.value,
        "state": AlertState.FIRING.value,
        "batch_id": episode.batch_id,
        "origin": episode.origin,
        "value": orjson.dumps(dict(episode.value), option=orjson.OPT_SORT_KEYS).decode(),
        "summary": episode.summary,
        "opened_at": now,
        "announce": AlertState.FIRING.value,
    }


def resolve(connection: Connection, key: str, reason: str, now: datetime) -> bool:
    """Resolve the alert of a key that fires. Return whether there was one."""
    return _resolve(connection, alerts.c.key == key, reason, now) > 0


def resolve_by_id(connection: Connection, public_id: str, reason: str, now: datetime, actor: str) -> bool:
    """Resolve an alert if it fires, for `actor`. Return whether it did."""
    return _resolve(connection, alerts.c.public_id == public_id, reason, now, actor) > 0


def resolve_of_ended_batches(connection: Connection, reason: str, now: datetime) -> int:
    """Resolve the alerts about batches that are complete or deleted. Return their number."""
    is_open = select(batches.c.id).where(batches.c.id == alerts.c.batch_id, batches.c.completed_at.is_(None)).exists()
    return _resolve(connection, alerts.c.batch_id.is_not(None) & ~is_open, reason, now)


def _resolve(
    connection: Connection, condition: ColumnElement[bool], reason: str, now: datetime, actor: str | None = None
) -> int:
    # Who fires and was not announced yet is announced first, and then its end.
    announce = case((alerts.c.announce.is_(None), AlertState.RESOLVED.value), else_=alerts.c.announce)
    statement = (
        update(alerts)
        .where(_IS_FIRING, condition)
        .values(state=AlertState.RESOLVED.value, resolved_at=now, reason=reason, resolved_by=actor, announce=announce)
    )
    return connection.execute(statement).rowcount


_COLUMNS = (*alerts.c, batches.c.public_id.label("batch"), definitions.c.name.label("definition"))
_READ = (
    select(*_COLUMNS)
    .select_from(alerts)
    .outerjoin(batches, batches.c.id == alerts.c.batch_id)
    .outerjoin(definitions, definitions.c.id == batches.c.definition_id)
)


def find_firing(connection: Connection, limit: int | None = None) -> list[Row]:
    """Return the alerts that fire, newest first, with the public id of their batch and the name of its definition."""
    return rows(connection.execute(_READ.where(_IS_FIRING).order_by(alerts.c.id.desc()).limit(limit)))


def find_page(
    connection: Connection,
    limit: int,
    before: int | None = None,
    *,
    tenant: str | None = None,
    only_firing: bool = False,
) -> list[Row]:
    """Return alerts, newest first.

    Args:
        before: only those below this row id.
        tenant: only those about its batches; None: all.
    """
    query = _READ if before is None else _READ.where(alerts.c.id < before)
    if tenant is not None:
        query = query.where(batches.c.tenant == tenant)
    if only_firing:
        query = query.where(_IS_FIRING)
    return rows(connection.execute(query.order_by(alerts.c.id.desc()).limit(limit)))


def find_by_prefix(connection: Connection, prefix: str, *, tenant: str | None = None, limit: int = 2) -> list[Row]:
    """Return alerts whose public id starts with `prefix`.

    Args:
        tenant: only those about its batches; None: all.
    """
    query = _READ.where(alerts.c.public_id.startswith(prefix, autoescape=True))
    if tenant is not None:
        query = query.where(batches.c.tenant == tenant)
    return rows(connection.execute(query.limit(limit)))


# An alert that is over is announced again as long as a channel that accepted its beginning was not told, and until no
# channel is about to accept it.
_HAS_NEWS = text(
    """
    (announce = 'firing'
    OR NOT EXISTS (SELECT 1 FROM deliveries d
                   WHERE d.batch_id = 0 AND d.seq = 2 * alerts.id AND d.state IN ('pending', 'sending'))
    OR EXISTS (SELECT 1 FROM deliveries d
               WHERE d.batch_id = 0 AND d.seq = 2 * alerts.id AND d.state = 'delivered'
                   AND NOT EXISTS (SELECT 1 FROM deliveries r
                                   WHERE r.batch_id = 0 AND r.seq = 2 * alerts.id + 1 AND r.url = d.url)))
    """
)
_TO_ANNOUNCE = select(alerts.c.id).where(alerts.c.announce.is_not(None), _HAS_NEWS).order_by(alerts.c.id)


def find_to_announce(connection: Connection, limit: int) -> list[Row]:
    """Lock and return alerts of which channels can be told something, oldest first."""
    ids = list(connection.scalars(_TO_ANNOUNCE.limit(limit).with_for_update(skip_locked=True)))
    if not ids:
        return []
    return rows(connection.execute(_READ.where(alerts.c.id.in_(ids)).order_by(alerts.c.id)))


def has_to_announce(connection: Connection) -> bool:
    """Return whether channels can be told something."""
    return connection.scalar(_TO_ANNOUNCE.limit(1)) is not None


def set_announce(connection: Connection, id_: int, announce: AlertState | None) -> None:
    """Set what channels have yet to be told of an alert."""
    value = None if announce is None else announce.value
    connection.execute(update(alerts).where(alerts.c.id == id_).values(announce=value))


def find_opened(connection: Connection, since: datetime, name_not: str) -> list[tuple[str, str]]:
    """Return (name, key) of the alerts that opened since an instant, oldest first, apart from those of one name.

    Only the newest thousands are looked at: there is no index on when alerts opened.
    """
    newest = select(alerts.c.name, alerts.c.key, alerts.c.opened_at).order_by(alerts.c.id.desc()).limit(_NEWEST)
    found = [(name, key) for name, key, at in connection.execute(newest) if at >= since and name != name_not]
    return found[::-1]


def prune(connection: Connection, before: datetime, limit: int) -> list[int]:
    """Delete up to `limit` of the oldest alerts, if they were resolved before an instant. Return their row ids."""
    oldest = select(alerts.c.id, alerts.c.resolved_at, alerts.c.announce).order_by(alerts.c.id).limit(limit)
    found = connection.execute(oldest).all()
    old = [row.id for row in found if row.resolved_at and row.resolved_at < before and row.announce is None]
    if old:
        connection.execute(delete(alerts).where(alerts.c.id.in_(old)))
    return old
