"""Deliveries: claiming due ones, recording their outcomes, pausing and counting them.

The sender's statements are written as text: a partial index serves only statements that contain its condition.
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
from pipeline.database.json_rows import table_rows
from pipeline.database.locks import skip_locked
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import has_state, recheck_state_sql
from pipeline.database.tables import RETRIED, attempts, deliveries, events
from pipeline.database.text_columns import with_columns


class ToSend(NamedTuple):
    """A claimed delivery with its event and the public id of its batch."""

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
_ENDPOINT_COLUMNS = (
    "not_before", "disabled_at", "in_flight_cap", "schedule", "rate", "burst", "paid_until", "breaker", "open_until",
    "closed_at", "ordering", "max_block_seconds", "coalesce_items", "coalesce_ms", "secrets", "headers",
)  # fmt: skip
# A loose index scan: three probes for each endpoint, however many deliveries wait for it.
_WAITING = with_columns(
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
           {", ".join(f"e.{name}" for name in _ENDPOINT_COLUMNS)}
    FROM waiting LEFT JOIN endpoints e ON e.origin = waiting.origin
    WHERE waiting.origin IS NOT NULL
    """
    ),
    ("origin", *_DUE_AT, *_ENDPOINT_COLUMNS),
    {*_DUE_AT, "not_before", "disabled_at", "paid_until", "open_until", "closed_at"},
)

# The rows are locked: another sender skips them.
_DUE = f"""
    SELECT id, CASE WHEN is_alone THEN NULL ELSE bundle_id END AS bundle_id
    FROM deliveries WHERE state = 'pending' AND origin = :origin AND {RETRIED} = %s AND due_at <= :now
    ORDER BY due_at, id LIMIT :limit %s"""
_now = bindparam("now", type_=Instant)


@cache
def _due(dialect: Dialect, retries: bool) -> TextualSelect:
    # A literal, as in the index.
    query = _DUE % (int(retries), dialect.row_lock_sql("FOR UPDATE SKIP LOCKED"))
    return with_columns(text(query).bindparams(_now), ("id", "bundle_id"), ())


_CLAIM = f"""
    UPDATE deliveries SET state = 'sending', attempt = attempt + 1, worker = :worker, lease_until = :lease_until,
        replays = replays + CASE WHEN trigger IS NULL THEN 0 ELSE 1 END
    WHERE %s AND {recheck_state_sql("pending")} RETURNING"""
# The columns of `ToSend`, in order.
_READ = """
    SELECT d.id, d.seq, d.url, d.origin, d.attempt, d.replays, d.trigger, d.created_at, e.body, b.public_id, b.schedule
    FROM %s d
    JOIN events e ON e.batch_id = d.batch_id AND e.seq = d.seq
    JOIN batches b ON b.id = d.batch_id
    %s ORDER BY d.due_at, d.id"""
_lease_until = bindparam("lease_until", type_=Instant)


@cache
def _claim_and_read(dialect: Dialect) -> TextualSelect:
    update_ = _CLAIM % dialect.in_list_sql("id", "ids", "bigint")
    query = text(f"WITH claimed AS ({update_} *) {_READ % ('claimed', '')}").bindparams(_lease_until)
    return with_columns(query, ToSend._fields, {"created_at"})


@cache
def _claim(dialect: Dialect) -> TextClause:
    return text(f"{_CLAIM % dialect.in_list_sql('id', 'ids', 'bigint')} id").bindparams(_lease_until)


@cache
def _read(dialect: Dialect) -> TextualSelect:
    query = _READ % ("deliveries", f"WHERE {dialect.in_list_sql('d.id', 'ids', 'bigint')}")
    return with_columns(text(query), ToSend._fields, {"created_at"})


# A 2xx response holds for any attempt: checking the holder is enough, so one statement serves a group.
_DELIVERED = f"""
    UPDATE deliveries SET state = 'delivered', lease_until = NULL, worker = NULL, last_status = :status,
        last_error = NULL, finished_at = :now, trigger = NULL
    WHERE %s AND {recheck_state_sql("sending")} AND worker = :worker"""


@cache
def _delivered(dialect: Dialect) -> TextClause:
    return text(_DELIVERED % dialect.in_list_sql("id", "ids", "bigint")).bindparams(_now)


# A sender that has lost its lease changes nothing: another one sends, or has sent, the delivery again.
_RECORD_OUTCOME = text(
    f"""
    UPDATE deliveries SET state = :state, attempt = :attempt_after, due_at = coalesce(:due_at, due_at),
        lease_until = NULL, worker = NULL, last_status = :status, last_error = :error, finished_at = :finished_at,
        replays = :replays_after, trigger = :trigger_after
    WHERE id = :id AND {recheck_state_sql("sending")} AND worker = :worker AND attempt = :attempt
    """
).bindparams(bindparam("due_at", type_=Instant), bindparam("finished_at", type_=Instant))

_HELD = f"""
    SELECT id, attempt FROM deliveries
    WHERE %s AND {recheck_state_sql("sending")} AND worker = :worker ORDER BY id %s"""


@cache
def _held(dialect: Dialect) -> TextClause:
    return text(_HELD % (dialect.in_list_sql("id", "ids", "bigint"), dialect.row_lock_sql("FOR UPDATE")))


def find_waiting_endpoints(connection: Connection) -> list[Row]:
    """Return the endpoints that have pending deliveries, longest due first, with their settings and state.

    `first_due_at` and `retry_due_at` say when the next first attempt and the next retry are due. One of them may be
    None; `due_at` is the earlier one.
    """
    found = rows(connection.execute(_WAITING))
    for row in found:
        row["due_at"] = min(at for at in (row["first_due_at"], row["retry_due_at"]) if at is not None)
    return sorted(found, key=lambda row: row["due_at"])


def find_due(
    connection: Connection, origin: str, now: datetime, limit: int, *, retries: bool
) -> list[tuple[int, int | None]]:
    """Return (id, bundle or None) of deliveries that are due at an endpoint, longest due first.

    Args:
        retries: return retries instead of first attempts.
    """
    found = connection.execute(_due(dialect_of(connection), retries), {"origin": origin, "now": now, "limit": limit})
    return [(id_, bundle_id) for id_, bundle_id in found.all()]


def claim(connection: Connection, ids: Sequence[int], *, worker: str, lease_until: datetime) -> list[ToSend]:
    """Claim deliveries, counting an attempt. Return those that were still pending, longest due first."""
    dialect = dialect_of(connection)
    given = {"ids": dialect.encode_list(ids), "worker": worker, "lease_until": lease_until}
    if dialect.has_updating_cte:
        found = connection.execute(_claim_and_read(dialect), given)
    else:
        claimed = connection.scalars(_claim(dialect), given)
        found = connection.execute(_read(dialect), {"ids": dialect.encode_list(claimed)})
    return [ToSend(*row) for row in found.all()]


def mark_delivered(connection: Connection, ids: Sequence[int], *, worker: str, status: int, now: datetime) -> None:
    """Mark deliveries as delivered that received the same response status."""
    dialect = dialect_of(connection)
    given = {"ids": dialect.encode_list(ids), "worker": worker, "status": status, "now": now}
    connection.execute(_delivered(dialect), given)


def record_outcomes(connection: Connection, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Record what was decided about deliveries after their requests.

    Args:
        outcomes: one mapping each: `id`, `worker` and `attempt` identify the attempt; `state`, `due_at`, `status`,
            `error`, `finished_at`, `attempt_after`, `replays_after` and `trigger_after` are the new values.
    """
    connection.execute(_RECORD_OUTCOME, outcomes)


def find_held(connection: Connection, ids: Sequence[int], worker: str) -> set[tuple[int, int]]:
    """Return (id, attempt) of the deliveries that `worker` still holds, and lock them."""
    dialect = dialect_of(connection)
    found = connection.execute(_held(dialect), {"ids": dialect.encode_list(ids), "worker": worker})
    return {(row.id, row.attempt) for row in found}


def add_attempts(connection: Connection, added: Sequence[Mapping[str, Any]]) -> None:
    """Add delivery attempts."""
    dialect = dialect_of(connection)
    connection.execute(_add_attempts(dialect), {"rows": dialect.encode_rows(added)})


@cache
def _add_attempts(dialect: Dialect) -> Insert:
    names = (
        "delivery_id", "bundle_id", "number", "trigger", "outcome", "status", "error_type", "error_message",
        "started_at", "ended_at", "worker", "answer",
    )  # fmt: skip
    given = table_rows(attempts, dialect, *names)
    chosen = select(*(given.c[name] for name in names), literal_column("'deliver'"))
    return insert(attempts).from_select([*names, "stage"], chosen)


def pause(connection: Connection, origins: Sequence[str]) -> int:
    """Pause the pending deliveries to these endpoints. Return how many."""
    chosen = has_state(deliveries.c.state, "pending"), deliveries.c.origin.in_(origins)
    return _change(connection, *chosen, state="paused")


def unpause(connection: Connection, origin: str, now: datetime) -> int:
    """Make the paused deliveries to an endpoint pending, due now. Return how many."""
    # The second condition is that of the partial index.
    is_paused = has_state(deliveries.c.state, "paused") & has_state(deliveries.c.state, "paused", "dead")
    return _change(connection, is_paused, deliveries.c.origin == origin, state="pending", due_at=now)


def take_back(connection: Connection, dead: Sequence[str] = (), *, now: datetime) -> int:
    """Make lost deliveries pending, due now: their lease has expired or their holder is among `dead`. Return how many.

    The attempt still counts: the request may have been sent.
    """
    lost = or_(deliveries.c.lease_until < now, deliveries.c.worker.in_(dead))
    chosen = has_state(deliveries.c.state, "sending"), lost
    return _change(connection, *chosen, state="pending", due_at=now, lease_until=None, worker=None)


def hand_back(connection: Connection, worker: str, now: datetime) -> int:
    """Make the deliveries of a sender that stops pending again, without counting an attempt. Return how many."""
    chosen = has_state(deliveries.c.state, "sending"), deliveries.c.worker == worker
    uncounted = {
        "attempt": deliveries.c.attempt - 1,
        "replays": deliveries.c.replays - case((deliveries.c.trigger.is_not(None), 1), else_=0),
    }
    return _change(connection, *chosen, state="pending", due_at=now, lease_until=None, worker=None, **uncounted)


def _change(connection: Connection, *conditions: ColumnElement[bool], **values: Any) -> int:
    chosen = skip_locked(dialect_of(connection), deliveries, *conditions)
    return connection.execute(update(deliveries).where(chosen).values(**values)).rowcount


def find_holders(connection: Connection) -> list[str]:
    """Return the names of the senders that hold deliveries."""
    found = connection.scalars(text("SELECT DISTINCT worker FROM deliveries WHERE state = 'sending'"))
    return [name for name in found if name is not None]


def count_by_state(connection: Connection, batch_id: int) -> dict[str, int]:
    """Return how many deliveries of a batch are in each state."""
    query = (
        select(deliveries.c.state, func.count())
        .where(deliveries.c.batch_id == batch_id)
        .group_by(deliveries.c.state)
        .order_by(deliveries.c.state)
    )
    return {state: count for state, count in connection.execute(query)}


def find_by_item(connection: Connection, batch_id: int, item_id: int) -> list[Row]:
    """Return the deliveries of an item's events, in the order of the events."""
    same_event = (events.c.batch_id == deliveries.c.batch_id) & (events.c.seq == deliveries.c.seq)
    query = (
        select(deliveries, events.c.type)
        .join(events, same_event)
        .where(events.c.batch_id == batch_id, events.c.item_id == item_id)
        .order_by(deliveries.c.seq, deliveries.c.id)
    )
    return rows(connection.execute(query))
