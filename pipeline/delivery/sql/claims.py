"""Deliveries: claimed when due, settled when answered, looked at.

A sender's statements are written as text: a partial index serves them only where the state stands in the statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    TextClause,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.sql.selectable import TextualSelect

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.json_rows import rows_of
from pipeline.database.locks import unlocked
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import is_in, still
from pipeline.database.tables import RETRIED, attempts, deliveries, events
from pipeline.database.text_columns import ordered


class ToSend(NamedTuple):
    """A taken delivery with its event and the public id of its batch."""

    id: int
    seq: int
    url: str
    origin: str
    attempt: int
    replays: int
    trigger: str | None
    created_at: datetime
    body: bytes
    public_id: str
    schedule: str | None


_DUE_AT = ("first_due_at", "retry_due_at")
_OF_ENDPOINT = (
    "not_before", "disabled_at", "in_flight_cap", "schedule", "rate", "burst", "paid_until", "breaker", "open_until",
    "closed_at", "ordering", "max_block_seconds", "coalesce_items", "coalesce_ms", "secrets", "headers",
)  # fmt: skip
# A loose index scan: three probes an endpoint, however many deliveries wait there.
_WAITING = ordered(
    text(
        f"""
    WITH RECURSIVE waiting(origin) AS (
        SELECT min(origin) FROM deliveries WHERE state = 'pending'
        UNION ALL
        SELECT (SELECT min(d.origin) FROM deliveries d WHERE d.state = 'pending' AND d.origin > waiting.origin)
        FROM waiting WHERE waiting.origin IS NOT NULL
    )
    SELECT waiting.origin,
           (SELECT min(due_at) FROM deliveries
            WHERE state = 'pending' AND origin = waiting.origin AND {RETRIED} = 0) AS first_due_at,
           (SELECT min(due_at) FROM deliveries
            WHERE state = 'pending' AND origin = waiting.origin AND {RETRIED} = 1) AS retry_due_at,
           {", ".join(f"e.{name}" for name in _OF_ENDPOINT)}
    FROM waiting LEFT JOIN endpoints e ON e.origin = waiting.origin
    WHERE waiting.origin IS NOT NULL
    """
    ),
    ("origin", *_DUE_AT, *_OF_ENDPOINT),
    {*_DUE_AT, "not_before", "disabled_at", "paid_until", "open_until", "closed_at"},
)

# A second sender passes over what the first has just picked.
_DUE = f"""
    SELECT id, CASE WHEN is_alone THEN NULL ELSE bundle_id END AS bundle_id
    FROM deliveries WHERE state = 'pending' AND origin = :origin AND {RETRIED} = %s AND due_at <= :now
    ORDER BY due_at, id LIMIT :limit %s"""
_now = bindparam("now", type_=Instant)


@cache
def _due(dialect: Dialect, retries: bool) -> TextualSelect:
    # Which of both stands in the statement, as in the index.
    query = _DUE % (int(retries), dialect.row_lock_sql("FOR UPDATE SKIP LOCKED"))
    return ordered(text(query).bindparams(_now), ("id", "bundle_id"), ())


_TAKE = f"""
    UPDATE deliveries SET state = 'sending', attempt = attempt + 1, worker = :worker, lease_until = :lease_until,
        replays = replays + CASE WHEN trigger IS NULL THEN 0 ELSE 1 END
    WHERE %s AND {still("pending")} RETURNING"""
# As in `ToSend`.
_READ = """
    SELECT d.id, d.seq, d.url, d.origin, d.attempt, d.replays, d.trigger, d.created_at, e.body, b.public_id, b.schedule
    FROM %s d
    JOIN events e ON e.batch_id = d.batch_id AND e.seq = d.seq
    JOIN batches b ON b.id = d.batch_id
    %s ORDER BY d.due_at, d.id"""
_lease_until = bindparam("lease_until", type_=Instant)


@cache
def _take_and_read(dialect: Dialect) -> TextualSelect:
    update_ = _TAKE % dialect.in_list_sql("id", "ids", "bigint")
    query = text(f"WITH taken AS ({update_} *) {_READ % ('taken', '')}").bindparams(_lease_until)
    return ordered(query, ToSend._fields, {"created_at"})


@cache
def _take(dialect: Dialect) -> TextClause:
    return text(f"{_TAKE % dialect.in_list_sql('id', 'ids', 'bigint')} id").bindparams(_lease_until)


@cache
def _read(dialect: Dialect) -> TextualSelect:
    query = _READ % ("deliveries", f"WHERE {dialect.in_list_sql('d.id', 'ids', 'bigint')}")
    return ordered(text(query), ToSend._fields, {"created_at"})


# An answer of 2xx is true whichever attempt it was for: the holder is fence enough, and one statement serves a group.
_DELIVERED = f"""
    UPDATE deliveries SET state = 'delivered', lease_until = NULL, worker = NULL, last_status = :status,
        last_error = NULL, finished_at = :now, trigger = NULL
    WHERE %s AND {still("sending")} AND worker = :worker"""


@cache
def _delivered(dialect: Dialect) -> TextClause:
    return text(_DELIVERED % dialect.in_list_sql("id", "ids", "bigint")).bindparams(_now)


# Whoever lost its lease meanwhile changes nothing: somebody else sends, or has sent, that delivery again.
_SETTLE = text(
    f"""
    UPDATE deliveries SET state = :state, attempt = :attempt_after, due_at = coalesce(:due_at, due_at),
        lease_until = NULL, worker = NULL, last_status = :status, last_error = :error, finished_at = :finished_at,
        replays = :replays_after, trigger = :trigger_after
    WHERE id = :id AND {still("sending")} AND worker = :worker AND attempt = :attempt
    """
).bindparams(bindparam("due_at", type_=Instant), bindparam("finished_at", type_=Instant))

_HELD = f"""
    SELECT id, attempt FROM deliveries WHERE %s AND {still("sending")} AND worker = :worker ORDER BY id %s"""


@cache
def _held(dialect: Dialect) -> TextClause:
    return text(_HELD % (dialect.in_list_sql("id", "ids", "bigint"), dialect.row_lock_sql("FOR UPDATE")))


def waiting(connection: Connection) -> list[Row]:
    """Return the endpoints that have pending deliveries, the longest due first, with when they may be called.

    `due_at` is the earlier of `first_due_at` and `retry_due_at`, of which one may be None.
    """
    found = rows(connection.execute(_WAITING))
    for row in found:
        row["due_at"] = min(at for at in (row["first_due_at"], row["retry_due_at"]) if at is not None)
    return sorted(found, key=lambda row: row["due_at"])


def due(
    connection: Connection, origin: str, now: datetime, limit: int, *, retries: bool
) -> list[tuple[int, int | None]]:
    """Return (id, bundle it travels in or None) of first attempts, or of retries, that are due at one endpoint.

    The longest due come first.
    """
    found = connection.execute(_due(dialect_of(connection), retries), {"origin": origin, "now": now, "limit": limit})
    return [(id_, bundle_id) for id_, bundle_id in found.all()]


def take(connection: Connection, ids: Sequence[int], *, worker: str, lease_until: datetime) -> list[ToSend]:
    """Pending → sending under a lease; each counts an attempt. Return what was really taken, the longest due first."""
    dialect = dialect_of(connection)
    given = {"ids": dialect.encode_list(ids), "worker": worker, "lease_until": lease_until}
    if dialect.has_updating_cte:
        found = connection.execute(_take_and_read(dialect), given)
    else:
        taken = connection.scalars(_take(dialect), given)
        found = connection.execute(_read(dialect), {"ids": dialect.encode_list(taken)})
    return [ToSend(*row) for row in found.all()]


def delivered(connection: Connection, ids: Sequence[int], *, worker: str, status: int, now: datetime) -> None:
    """Sending → delivered, for deliveries that were answered with the same status."""
    dialect = dialect_of(connection)
    given = {"ids": dialect.encode_list(ids), "worker": worker, "status": status, "now": now}
    connection.execute(_delivered(dialect), given)


def settle(connection: Connection, settled: Sequence[Mapping[str, Any]]) -> None:
    """Sending → what was decided, for id, worker, attempt.

    That is: state, due_at, status, error, finished_at, attempt_after, replays_after, trigger_after.
    """
    connection.execute(_SETTLE, settled)


def held(connection: Connection, ids: Sequence[int], worker: str) -> set[tuple[int, int]]:
    """Return (id, attempt) of those of these deliveries that `worker` still holds."""
    dialect = dialect_of(connection)
    found = connection.execute(_held(dialect), {"ids": dialect.encode_list(ids), "worker": worker})
    return {(row.id, row.attempt) for row in found}


def log(connection: Connection, made: Sequence[Mapping[str, Any]]) -> None:
    """Append delivery attempts."""
    dialect = dialect_of(connection)
    connection.execute(_log(dialect), {"rows": dialect.encode_rows(made)})


@cache
def _log(dialect: Dialect) -> Insert:
    names = (
        "delivery_id", "bundle_id", "number", "trigger", "outcome", "status", "error_type", "error_message",
        "started_at", "ended_at", "worker", "answer",
    )  # fmt: skip
    given = rows_of(attempts, dialect, *names)
    chosen = select(*(given.c[name] for name in names), literal_column("'deliver'"))
    return insert(attempts).from_select([*names, "stage"], chosen)


def pause(connection: Connection, origins: Sequence[str]) -> int:
    """Pending → paused for everything owed to these endpoints. Return how many."""
    chosen = is_in(deliveries.c.state, "pending"), deliveries.c.origin.in_(origins)
    return _change(connection, *chosen, state="paused")


def unpause(connection: Connection, origin: str, now: datetime) -> int:
    """Paused → pending, due now, for everything owed to an endpoint. Return how many."""
    # The second condition is that of the index.
    is_paused = is_in(deliveries.c.state, "paused") & is_in(deliveries.c.state, "paused", "dead")
    return _change(connection, is_paused, deliveries.c.origin == origin, state="pending", due_at=now)


def take_back(connection: Connection, dead: Sequence[str] = (), *, now: datetime) -> int:
    """Sending → pending, due now, where the lease is over or the holder is among `dead`. Return how many.

    The attempt stays counted: the request may have been made.
    """
    lost = or_(deliveries.c.lease_until < now, deliveries.c.worker.in_(dead))
    chosen = is_in(deliveries.c.state, "sending"), lost
    return _change(connection, *chosen, state="pending", due_at=now, lease_until=None, worker=None)


def release(connection: Connection, worker: str, now: datetime) -> int:
    """Sending → pending, due now, for a sender that stops in good order: no attempt counted. Return how many."""
    chosen = is_in(deliveries.c.state, "sending"), deliveries.c.worker == worker
    uncounted = {
        "attempt": deliveries.c.attempt - 1,
        "replays": deliveries.c.replays - case((deliveries.c.trigger.is_not(None), 1), else_=0),
    }
    return _change(connection, *chosen, state="pending", due_at=now, lease_until=None, worker=None, **uncounted)


def _change(connection: Connection, *conditions: ColumnElement[bool], **values: Any) -> int:
    chosen = unlocked(dialect_of(connection), deliveries, *conditions)
    return connection.execute(update(deliveries).where(chosen).values(**values)).rowcount


def holders(connection: Connection) -> list[str]:
    """Return the names of the senders that hold deliveries."""
    found = connection.scalars(text("SELECT DISTINCT worker FROM deliveries WHERE state = 'sending'"))
    return [name for name in found if name is not None]


def counts(connection: Connection, batch_id: int) -> dict[str, int]:
    """Return how many deliveries of a batch are in each state."""
    query = (
        select(deliveries.c.state, func.count())
        .where(deliveries.c.batch_id == batch_id)
        .group_by(deliveries.c.state)
        .order_by(deliveries.c.state)
    )
    return {state: count for state, count in connection.execute(query)}


def of_item(connection: Connection, batch_id: int, item_id: int) -> list[Row]:
    """Return the deliveries of an item's events, in the order of the events."""
    same_event = (events.c.batch_id == deliveries.c.batch_id) & (events.c.seq == deliveries.c.seq)
    query = (
        select(deliveries, events.c.type)
        .join(events, same_event)
        .where(events.c.batch_id == batch_id, events.c.item_id == item_id)
        .order_by(deliveries.c.seq, deliveries.c.id)
    )
    return rows(connection.execute(query))
