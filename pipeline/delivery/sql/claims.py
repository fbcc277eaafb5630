"""Finding due deliveries, and claiming them for a sender.

These statements are written as text: a partial index serves only statements that contain its condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, bindparam, text
from sqlalchemy.sql.selectable import TextualSelect

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import recheck_state_sql
from pipeline.database.tables import RETRIED
from pipeline.database.text_columns import with_columns
from pipeline.domain.retry_schedule import ALERTS


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
    WHERE %s AND {recheck_state_sql("pending")} RETURNING %s"""
# The columns of `ToSend`, in order.
# Events of batch 0, which does not exist, are about alerts.
_READ = f"""
    SELECT d.id, d.seq, d.url, d.origin, d.attempt, d.replays, d.trigger, d.created_at, e.body,
           coalesce(b.public_id, '{ALERTS}'), CASE WHEN d.batch_id = 0 THEN '{ALERTS}' ELSE b.schedule END
    FROM %s d
    JOIN events e ON e.batch_id = d.batch_id AND e.seq = d.seq
    LEFT JOIN batches b ON b.id = d.batch_id
    WHERE (b.id IS NOT NULL OR d.batch_id = 0) %s ORDER BY d.due_at, d.id"""
_lease_until = bindparam("lease_until", type_=Instant)


@cache
def _claim_and_read(dialect: Dialect) -> TextualSelect:
    claim_ = _CLAIM % (dialect.in_list_sql("id", "ids", "bigint"), "*")
    query = f"WITH claimed AS ({claim_}) {_READ % ('claimed', '')}"
    return with_columns(text(query).bindparams(_lease_until), ToSend._fields, {"created_at"})


@cache
def _claim(dialect: Dialect) -> TextClause:
    return text(_CLAIM % (dialect.in_list_sql("id", "ids", "bigint"), "id")).bindparams(_lease_until)


@cache
def _read(dialect: Dialect) -> TextualSelect:
    query = _READ % ("deliveries", f"AND {dialect.in_list_sql('d.id', 'ids', 'bigint')}")
    return with_columns(text(query), ToSend._fields, {"created_at"})


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
